# SPDX-License-Identifier: Apache-2.0
# A thin front to CMake. `make test` and `make demo` work on a bare Debian 12, from clone to result.

.DEFAULT_GOAL := help
.PHONY: help deps deps-ci configure build everything demo test bench soak install uninstall clean

PRESET ?= release
# WERROR=ON makes warnings errors, as .ci/run does.
WERROR ?= OFF
JOBS ?= $(shell nproc)
TESTJOBS ?= 2
ifeq ($(PRESET),release)
BUILD := build
else
BUILD := build-$(PRESET)
endif

help: ## what can be made
	@echo 'Berth: a host process for daemons'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  PRESET=release|debug|asan|tsan|coverage|fuzz chooses the build; release lands in build/,'
	@echo '  the others in build-<preset>/.'

deps: ## install what the build and the tests need (Debian; apt-get, as root or with sudo)
	@.ci/deps build

deps-ci: ## the same for the linters, sanitizers and comparisons that .ci/run uses
	@.ci/deps build ci

configure: deps
	@cmake --preset $(PRESET) -DBERTH_WERROR=$(WERROR) --log-level=WARNING

build: configure ## build build/berth, build/libberth.{a,so} and build/plugins/*.so
	@cmake --build $(BUILD) -j $(JOBS) --target product

everything: configure
	@cmake --build $(BUILD) -j $(JOBS)

demo: build ## see the main job done: load, feed, stop, start again, compare
	@examples/demo.sh $(BUILD)

test: everything ## build all, then run every test
	@ctest --test-dir $(BUILD) -j $(TESTJOBS) --output-on-failure --no-label-summary

bench: everything ## each figure beside its floor, as a ratio (BENCH_FLAGS=--json)
	@tests/bench/run $(BUILD) $(BENCH_FLAGS)

soak: ## hours: the concurrent tests over and over, and long fuzzing (SOAK_MINUTES=60)
	@.ci/soak

# `sudo make install` in a tree of the user's own builds as that user, so that the tree stays theirs.
install: deps ## install to PREFIX (default /usr/local), under DESTDIR; builds first
	@as=; \
	if [ "$$(id -u)" -eq 0 ] && [ "$${SUDO_UID:-0}" -ne 0 ] && [ "$$SUDO_UID" = "$$(stat -c %u .)" ]; then \
	    as="setpriv --reuid=$$SUDO_UID --regid=$$SUDO_GID --init-groups --reset-env"; \
	fi; \
	$$as $(MAKE) --no-print-directory build PRESET=$(PRESET) WERROR=$(WERROR) JOBS=$(JOBS)
	@rm -f $(BUILD)/install_manifest.txt
	@DESTDIR=$(DESTDIR) cmake --install $(BUILD) $(if $(PREFIX),--prefix $(PREFIX))
	@[ -n '$(DESTDIR)' ] || [ "$$(id -u)" -ne 0 ] || PATH=$$PATH:/usr/sbin:/sbin ldconfig

uninstall: ## remove what `make install` with the same PREFIX and DESTDIR put there
	@DESTDIR=$(DESTDIR) .ci/uninstall $(BUILD) $(PREFIX)

clean: ## remove every build directory
	@rm -rf build build-debug build-asan build-tsan build-coverage build-fuzz
