// A disk that forgets what was not synced when the power goes, and a part of the last write may stay. After a sync that failed the kernel takes
// the pages for written: a second sync of the same open file succeeds and makes nothing durable. (What is lost when the process is killed
// between the two, and the power goes then, nobody can know; here the next process's sync is a true one.)
import type { Disk, DiskFile } from '../../src/kernel/disk.js';
import type { Process } from './process.js';
import type { Schedule } from './schedule.js';

interface File {
  /** As the kernel has it. */
  bytes: Buffer;
  /** How much of it a power cut leaves. */
  durableBytes: number;
}

type Entry = { readonly file: File } | { readonly mark: string };

/** Of one power supply, for one process at a time or several. */
export class SimulatedDisk {
  readonly #schedule: Schedule;
  /** What the kernel shows. */
  #entries: Map<string, Entry>;
  /** Names that a power cut leaves, with what they name. */
  #durable: Map<string, Entry>;
  /** Calls that take room fail with ENOSPC. */
  isFull = false;
  /** The next syncs fail with EIO. */
  failingSyncs = 0;
  /** Told what of a file is durable that was not. */
  onDurable: (path: string, bytes: Buffer) => void = () => undefined;

  constructor(schedule: Schedule, copied?: SimulatedDisk) {
    this.#schedule = schedule;
    const entries = copied === undefined ? [] : [...copied.#entries];
    this.#entries = new Map(
      entries.map(([path, entry]) => [path, 'file' in entry ? { file: { ...entry.file } } : entry]),
    );
    this.#durable = new Map(this.#entries);
  }

  cutPower(): void {
    const { random } = this.#schedule;
    for (const entry of this.#durable.values()) {
      if (!('file' in entry)) continue;
      const { file } = entry;
      const kept = file.durableBytes + Math.floor(random() * (file.bytes.length - file.durableBytes + 1));
      file.bytes = file.bytes.subarray(0, kept);
      file.durableBytes = kept;
    }
    // Some names were written back in time, and others were not.
    for (const [path, entry] of this.#entries) {
      if (!this.#durable.has(path) && random() < 0.5)
        this.#durable.set(path, 'file' in entry ? { file: emptyFile() } : entry);
    }
    this.#entries = new Map(this.#durable);
  }

  /** As `process` uses it. Paths are kept as they are in `root`, so that another world may go on with a copy. */
  of(process: Process, root: string): Disk {
    const schedule = this.#schedule;
    const wait = (): Promise<void> => process.pause(schedule.between(0.02, schedule.chance(0.02) ? 60 : 1));
    /** What is asked happens at one moment, and is answered at a later one. */
    const call = async <T>(act: () => T): Promise<T> => {
      await wait();
      let result: T;
      try {
        result = act();
      } catch (error) {
        await wait();
        throw error;
      }
      await wait();
      return result;
    };
    const at = (path: string): string => path.slice(root.length);
    return {
      makeDirectory: () => call(() => undefined),
      list: (path) => call(() => this.#names(at(path))),
      size: (path) =>
        call(() => {
          const entry = this.#entry(at(path));
          return 'file' in entry ? entry.file.bytes.length : undefined;
        }),
      read: (path, offset, length) => call(() => this.#file(at(path)).bytes.subarray(offset, offset + length)),
      create: (path) =>
        call(() => {
          if (this.#entries.has(at(path))) throw failure('EEXIST');
          this.#takeRoom();
          const file = emptyFile();
          this.#entries.set(at(path), { file });
          return this.#open(at(path), file, call);
        }),
      openAppend: (path) => call(() => this.#open(at(path), this.#file(at(path)), call)),
      truncate: (path, size) =>
        call(() => {
          const file = this.#file(at(path));
          file.bytes = file.bytes.subarray(0, size);
          file.durableBytes = size;
        }),
      remove: (path) =>
        call(() => {
          this.#entries.delete(at(path));
          this.#durable.delete(at(path));
        }),
      syncDirectory: (path) =>
        call(() => {
          for (const [name, entry] of this.#entries) if (isIn(at(path), name)) this.#durable.set(name, entry);
        }),
      mark: (path, text) =>
        call(() => {
          if (this.#entries.has(at(path))) return false;
          this.#entries.set(at(path), { mark: text });
          return true;
        }),
      readMark: (path) =>
        call(() => {
          if (this.#names(at(path)).length > 0) throw failure('EINVAL');
          const entry = this.#entry(at(path));
          if ('file' in entry) throw failure('EINVAL');
          return entry.mark;
        }),
    };
  }

  #open(path: string, file: File, call: <T>(act: () => T) => Promise<T>): DiskFile {
    let lies = false;
    return {
      write: (bytes, offset, length) =>
        call(() => {
          this.#takeRoom();
          const taken = this.#schedule.chance(0.1) ? Math.ceil(length * this.#schedule.random()) : length;
          file.bytes = Buffer.concat([file.bytes, bytes.subarray(offset, offset + taken)]);
          return taken;
        }),
      datasync: () =>
        call(() => {
          if (this.failingSyncs > 0) {
            this.failingSyncs -= 1;
            lies = true;
            throw failure('EIO');
          }
          if (lies) return;
          const before = file.durableBytes;
          file.durableBytes = file.bytes.length;
          this.onDurable(path, file.bytes.subarray(before));
        }),
      close: () => call(() => undefined),
    };
  }

  #takeRoom(): void {
    if (this.isFull) throw failure('ENOSPC');
  }

  #names(path: string): string[] {
    const names = [...this.#entries.keys()].filter((name) => isIn(path, name));
    return [...new Set(names.map((name) => name.slice(path.length + 1).split('/')[0] ?? ''))];
  }

  #entry(path: string): Entry {
    const entry = this.#entries.get(path);
    if (entry === undefined) throw failure('ENOENT');
    return entry;
  }

  #file(path: string): File {
    const entry = this.#entry(path);
    if ('mark' in entry) throw failure('ELOOP');
    return entry.file;
  }
}

const emptyFile = (): File => ({ bytes: Buffer.alloc(0), durableBytes: 0 });

const isIn = (folder: string, path: string): boolean => path.startsWith(`${folder}/`);

const failure = (code: string): Error => Object.assign(new Error(`${code}: simulated`), { code });
