// No memory of ours may end in a core dump: it holds secrets, plaintexts, a PIN. Importing this file, before anything else, is all.
import { writeFileSync } from 'node:fs';

// What each process started from here inherits too. A dump that the kernel writes all the same (to a pipe, or forced by root's limit)
// has no memory in it then, only registers (core(5)).
try {
  writeFileSync('/proc/self/coredump_filter', '0');
} catch {
  // A kernel without it, or no /proc: the limits of entry.ts and dump-limit.ts are left.
}
