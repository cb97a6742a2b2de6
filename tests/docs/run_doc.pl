#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# run_doc.pl SOURCE BUILD DOC: runs the commands of a document as a reader would, and compares.
#
# What it does with the fenced blocks of the Markdown, by their first word:
#   console      lines after "$ " are commands ("> ": more of the same one), the others what they print
#   X file=PATH  the block is the content of that file
#   anything     else is left alone (sh: commands that need root or a terminal)
#
# Output has to match line by line. A line "..." stands for any lines, "..." inside of one for any text.
# Times, rates, process numbers, keys, digests and origins differ from run to run and are not compared,
# nor is the width of columns; the reader's home is /home/you. A command has to succeed, unless what it prints begins with "berth: ".
#
# The reader's home is a temporary directory with berth installed in ~/.local. They start in a directory
# that looks like the top of the source tree. One shell runs all of a document; after `berth run ... &`
# it waits until the host answers.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use IO::Handle;
use POSIX qw(setsid);

use constant COMMAND_SECONDS => 100;

my ($source, $build, $doc) = @ARGV;
die "usage: run_doc.pl SOURCE BUILD DOC\n" unless defined $doc;
$source = abs_path($source);
$build  = abs_path($build);

# ---- What the document says

my @steps;    # {line, file, text} or {line, command, expected => [...]}
{
    my ($block, $file, $text, $begin);
    open my $in, '<', "$source/$doc" or die "$doc: $!\n";
    while (my $line = <$in>) {
        chomp $line;
        if (!defined $block) {
            next unless $line =~ /^```(\S*)\s*(.*)$/;
            ($block, $file, $text, $begin) = ($1, undef, '', $.);
            $file = $1 if $2 =~ /\bfile=(\S+)/;
        } elsif ($line =~ /^```\s*$/) {
            push @steps, {line => $begin, file => $file, text => $text} if defined $file;
            undef $block;
        } elsif ($block eq 'console') {
            if ($line =~ /^\$ (.*)$/) {
                push @steps, {line => $., command => $1, expected => []};
            } elsif ($line =~ /^> (.*)$/ && @steps && !@{$steps[-1]{expected}}) {
                $steps[-1]{command} .= "\n$1";
            } else {
                die "$doc:$.: output without a command\n" unless @steps && $steps[-1]{command};
                push @{$steps[-1]{expected}}, $line;
            }
        } else {
            $text .= "$line\n";
        }
    }
    die "$doc:$begin: a block without an end\n" if defined $block;
}
# The usual place is the system's own, where root runs the tests. So is that of the socket, see below.
for (grep { ($_->{command} // '') =~ /\bberth run\b/ } @steps) {
    die "$doc:$_->{line}: berth run without --state\n" unless $_->{command} =~ /--(state|ephemeral)\b/;
}
my $commands = grep { defined $_->{command} } @steps;
die "$doc: has no commands to run\n" unless $commands;

# ---- Where they run

my $dir = abs_path(tempdir('berth-docs-XXXXXX', TMPDIR => 1, CLEANUP => 1));
my $shell_pid;
my $parent = $$;

sub finish {
    # The shell leads a session of its own, with all that it started.
    kill 'TERM', -$shell_pid if $shell_pid;
    select undef, undef, undef, 0.3 if $shell_pid;
    kill 'KILL', -$shell_pid if $shell_pid;
    waitpid $shell_pid, 0 if $shell_pid;
    undef $shell_pid;
}
END { my $code = $?; finish() if $$ == $parent; $? = $code }
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';

mkdir "$dir/$_", 0700 or die "$dir/$_: $!\n" for qw(home run top);
system("cmake --install '$build' --prefix '$dir/home/.local' >'$dir/install' 2>&1") == 0
    or die `cat '$dir/install'`, "$doc: cannot install $build\n";
for my $entry (glob "$source/*") {
    next if $entry =~ m{/build[^/]*$};
    symlink $entry, "$dir/top/" . substr $entry, length "$source/";
}
symlink $build, "$dir/top/build";

delete $ENV{$_} for grep { /^(BERTH_|XDG_|LD_|CMAKE_|MAKE|CTEST|DASHBOARD|PKG_CONFIG|CFLAGS|NOTIFY|DESTDIR)/ } keys %ENV;
$ENV{HOME}            = "$dir/home";
$ENV{BERTH_SOCKET}    = "$dir/run/berth.sock";
$ENV{LC_ALL}          = 'C.UTF-8';
$ENV{TMPDIR}          = $dir;
$ENV{PS1}             = '';

pipe my $to_read, my $to_shell   or die "pipe: $!\n";
pipe my $from_shell, my $answers or die "pipe: $!\n";
$shell_pid = fork;
die "fork: $!\n" unless defined $shell_pid;
if (!$shell_pid) {
    setsid();
    close $to_shell;
    close $from_shell;
    open STDIN, '<&', $to_read or POSIX::_exit(127);
    POSIX::dup2(fileno $answers, 9);
    chdir "$dir/top" or POSIX::_exit(127);
    exec 'bash', '--noprofile', '--norc' or POSIX::_exit(127);
}
close $to_read;
close $answers;
$to_shell->autoflush(1);

sub in_shell {    # the exit status of a piece of script, and what it printed
    my ($script) = @_;
    open my $out, '>', "$dir/script" or die "$dir/script: $!\n";
    print $out "$script\n";
    close $out;
    print $to_shell ". '$dir/script' </dev/null >'$dir/out' 2>&1 9>&-; echo \$? >&9\n";
    my $status = eval {
        local $SIG{ALRM} = sub { die "no end after " . COMMAND_SECONDS . " s\n" };
        alarm COMMAND_SECONDS;
        my $answer = <$from_shell>;
        alarm 0;
        defined $answer ? $answer : die "the shell ended\n";
    };
    my $problem = $@;
    open my $in, '<', "$dir/out" or die "$dir/out: $!\n";
    my @lines = <$in>;
    chomp @lines;
    chomp $problem;
    return ($problem || int $status, @lines);
}

# ---- Comparing

sub plain {
    my ($text) = @_;
    $text =~ s/\s+/ /g;
    $text =~ s/^ | $//g;
    $text =~ s{\Q$dir\E/home|/home/you\b}{~}g;
    $text =~ s/\d{4}-\d\d-\d\dT[\d:.]+Z/TIME/g;
    $text =~ s/\b[0-9a-fA-F]{64}\b/DIGEST/g;
    $text =~ s/\b[0-9a-f]{16}\b(?!\.\.)/ORIGIN/g;
    $text =~ s/\b[0-9A-F]{16}\b/KEYID/g;
    $text =~ s/\bRW[A-Za-z0-9+\/]{54}(?![A-Za-z0-9+\/])/PUBLICKEY/g;
    $text =~ s/\btimestamp:\d+/timestamp:N/g;
    $text =~ s/\b(process|pid:?) \d+/$1 N/gi;
    $text =~ s/\[\d+\] \d+/[N] N/g;
    $text =~ s/\(?\b[\d,.]+ a second\)?/RATE/g;
    $text =~ s/\b[\d.,]+ ?(ns|us|µs|ms|s|sec|seconds|min)\b/DURATION/g;
    $text =~ s/\bin now\b|\bnow\b/DURATION/g;
    return $text;
}

sub pattern {
    my ($line) = @_;
    return join '.*', map { quotemeta } split /\.\.\./, plain($line), -1;
}

sub matches {
    my ($expected, $actual) = @_;
    my ($i, $j) = (0, 0);
    while ($i < @$expected) {
        if ($expected->[$i] =~ /^\s*\.\.\.\s*$/) {
            my @rest = @$expected[$i + 1 .. $#$expected];
            for my $k ($j .. scalar @$actual) {
                return 1 if matches(\@rest, [@$actual[$k .. $#$actual]]);
            }
            return 0;
        }
        my $pattern = pattern($expected->[$i]);
        return 0 unless $j < @$actual && plain($actual->[$j]) =~ /^$pattern$/;
        $i++;
        $j++;
    }
    return $j == @$actual;
}

# ---- The run

my $failed = 0;
in_shell("export PATH=\"\$HOME/.local/bin:\$PATH\"");
for my $step (@steps) {
    if (defined $step->{file}) {
        my ($status, @cwd) = in_shell('pwd');
        my $path = "$cwd[0]/$step->{file}";
        open my $out, '>', $path or die "$doc:$step->{line}: $path: $!\n";
        print $out $step->{text};
        close $out or die "$path: $!\n";
        next;
    }
    my ($status, @actual) = in_shell($step->{command});
    if ($step->{command} =~ /\bberth run\b.*&\s*$/s) {
        in_shell('for _ in $(seq 200); do berth status >/dev/null 2>&1 && break; sleep 0.05; done');
    }
    my $refusal = grep { /^berth: / } @{$step->{expected}};
    my $fine = $refusal ? $status ne '0' : $status eq '0';
    next if $fine && matches($step->{expected}, \@actual);
    $failed++;
    print "$doc:$step->{line}: \$ $step->{command}\n";
    print "  status $status\n" unless $fine;
    print "  written: $_\n" for @{$step->{expected}};
    print "  printed: $_\n" for @actual;
    if ($status !~ /^\d+$/) {
        print "  giving up\n";
        last;
    }
}
print "$doc: $commands commands, $failed not as written\n";
exit($failed ? 1 : 0);
