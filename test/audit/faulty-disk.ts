// The real disk with faults a test switches on, and a journal of what was asked of it.
import { type Disk, type DiskFile, systemDisk } from '../../src/kernel/disk.js';

export interface FaultyDisk extends Disk {
  /** `write:3`, `datasync:3` with the file's number; `truncate`, `remove`, `create`, `syncDirectory`. */
  readonly journal: string[];
  /** Awaited before each call that changes something; what it throws is the call's failure. */
  fault: (call: string, file: number) => Promise<void> | void;
  /** How many bytes a write may take. */
  mostBytesPerWrite: number;
}

export const failure = (code: string): Error => Object.assign(new Error(`${code}: simulated`), { code });

export function faultyDisk(): FaultyDisk {
  let count = 0;
  const disk: FaultyDisk = {
    ...systemDisk,
    journal: [],
    fault: () => undefined,
    mostBytesPerWrite: Infinity,
    create: async (path) => {
      await ask('create', 0);
      return wrap(await systemDisk.create(path));
    },
    openAppend: async (path) => wrap(await systemDisk.openAppend(path)),
    truncate: async (path, size) => {
      await ask('truncate', 0);
      await systemDisk.truncate(path, size);
    },
    remove: async (path) => {
      await ask('remove', 0);
      await systemDisk.remove(path);
    },
    syncDirectory: async (path) => {
      await ask('syncDirectory', 0);
      await systemDisk.syncDirectory(path);
    },
  };
  async function ask(call: string, file: number): Promise<void> {
    disk.journal.push(file === 0 ? call : `${call}:${file}`);
    await disk.fault(call, file);
  }
  function wrap(file: DiskFile): DiskFile {
    const number = ++count;
    return {
      write: async (bytes, offset, length) => {
        await ask('write', number);
        return file.write(bytes, offset, Math.min(length, disk.mostBytesPerWrite));
      },
      datasync: async () => {
        await ask('datasync', number);
        await file.datasync();
        disk.journal.push(`synced:${number}`);
      },
      close: () => file.close(),
    };
  }
  return disk;
}
