/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elfpatch WHAT IN OUT: a copy of a plugin with one thing of its ELF header changed, for what no
 * linker makes. WHAT: machine, class, order, type, no-stack, no-dynamic, no-phdrs, cut-N (the first
 * N bytes).
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void remove_header(unsigned char *file, Elf64_Word type)
{
    Elf64_Ehdr *e = (Elf64_Ehdr *)file;
    Elf64_Phdr *p = (Elf64_Phdr *)(file + e->e_phoff);

    for (int i = 0; i < e->e_phnum; i++) {
        if (p[i].p_type == type)
            p[i].p_type = PT_NULL;
    }
}

static long patch(const char *what, unsigned char *file, long size)
{
    Elf64_Ehdr *e = (Elf64_Ehdr *)file;

    if (strcmp(what, "machine") == 0)
        e->e_machine = e->e_machine == EM_AARCH64 ? EM_X86_64 : EM_AARCH64;
    else if (strcmp(what, "class") == 0)
        e->e_ident[EI_CLASS] = ELFCLASS32;
    else if (strcmp(what, "order") == 0)
        e->e_ident[EI_DATA] = ELFDATA2MSB;
    else if (strcmp(what, "type") == 0)
        e->e_type = ET_REL;
    else if (strcmp(what, "no-stack") == 0)
        remove_header(file, PT_GNU_STACK);
    else if (strcmp(what, "no-dynamic") == 0)
        remove_header(file, PT_DYNAMIC);
    else if (strcmp(what, "no-phdrs") == 0)
        e->e_phnum = 0;
    else if (strncmp(what, "cut-", 4) == 0)
        return atol(what + 4) < size ? atol(what + 4) : size;
    else
        return -1;
    return size;
}

int main(int argc, char **argv)
{
    static unsigned char file[4 << 20];
    FILE *in = argc == 4 ? fopen(argv[2], "rb") : NULL;
    FILE *out = argc == 4 ? fopen(argv[3], "wb") : NULL;
    long size = in ? (long)fread(file, 1, sizeof file, in) : 0;

    if (!in || !out || size < (long)sizeof(Elf64_Ehdr))
        return 1;
    size = patch(argv[1], file, size);
    if (size < 0 || fwrite(file, 1, (size_t)size, out) != (size_t)size)
        return 1;
    return fclose(out) != 0;
}
