// The disk as the audit log uses it: append, make durable, cut back. A simulation brings one that fails; `systemDisk` is the machine's.
import { close, constants, fdatasync, open, write } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';

/** A file open for appending. */
export interface DiskFile {
  /** Appends bytes[offset, offset + length); resolves with how many were taken, which may be fewer. */
  write(bytes: Buffer, offset: number, length: number): Promise<number>;
  /** fdatasync(2). After a failure the kernel may report the same pages clean: never call it again on this file. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** Errors are Node's, with `code` (ENOSPC, EIO, ENOENT …). A symbolic link is not opened: ELOOP. */
export interface Disk {
  /** Makes a directory, mode 0700, and its missing parents; durable. No error when it is there. */
  makeDirectory(path: string): Promise<void>;
  /** The names in a directory; E2BIG when there are more than a million. */
  list(path: string): Promise<readonly string[]>;
  /** Bytes; undefined when it is a link or no regular file. */
  size(path: string): Promise<number | undefined>;
  /** Fewer bytes than `length` only at the end of the file. Follows no link (ELOOP), and waits for no writer of a FIFO. */
  read(path: string, offset: number, length: number): Promise<Buffer>;
  /** EEXIST when the file is there. Mode 0600. Durable once its directory was synced. */
  create(path: string): Promise<DiskFile>;
  openAppend(path: string): Promise<DiskFile>;
  /** Cuts a file to `size` bytes, durably, through a descriptor of its own. */
  truncate(path: string, size: number): Promise<void>;
  /** No error when it is gone. */
  remove(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /**
   * Puts a short text (at most 59 bytes, so that it needs no data block on a full disk) under a name, whole or not at all: a symbolic
   * link. False when the name is taken.
   */
  mark(path: string, text: string): Promise<boolean>;
  readMark(path: string): Promise<string>;
}

export const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

export const systemDisk: Disk = {
  async makeDirectory(path) {
    const first = await fs.mkdir(path, { recursive: true, mode: 0o700 });
    if (first !== undefined) await syncDirectory(dirname(first));
  },
  list,
  size: async (path) => {
    const stat = await fs.lstat(path);
    return stat.isFile() ? stat.size : undefined;
  },
  read: (path, offset, length) =>
    withHandle(path, constants.O_RDONLY | constants.O_NONBLOCK, (handle) => readFully(handle, offset, length)),
  create: (path) => openDiskFile(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL),
  openAppend: (path) => openDiskFile(path, constants.O_WRONLY | constants.O_APPEND),
  truncate: (path, size) =>
    withHandle(path, constants.O_RDWR, async (handle) => {
      await handle.truncate(size);
      await handle.sync();
    }),
  remove: (path) => fs.rm(path, { force: true }),
  syncDirectory,
  async mark(path, text) {
    try {
      await fs.symlink(text, path);
      return true;
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false;
      throw error;
    }
  },
  readMark: (path) => fs.readlink(path),
};

// The callback API: one commit after the other goes through here, and FileHandle costs more per call.
function openDiskFile(path: string, flags: number): Promise<DiskFile> {
  return new Promise((resolve, reject) => {
    open(path, flags | constants.O_NOFOLLOW, 0o600, (error, fd) =>
      error === null ? resolve(diskFile(fd)) : reject(error),
    );
  });
}

function diskFile(fd: number): DiskFile {
  return {
    write: (bytes, offset, length) =>
      new Promise((resolve, reject) => {
        write(fd, bytes, offset, length, null, (error, taken) => (error === null ? resolve(taken) : reject(error)));
      }),
    datasync: () =>
      new Promise((resolve, reject) => {
        fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
      }),
    close: () =>
      new Promise((resolve, reject) => {
        // Node gives undefined here, which its types leave out.
        close(fd, (error) => (error ? reject(error) : resolve()));
      }),
  };
}

async function withHandle<T>(path: string, flags: number, use: (handle: fs.FileHandle) => Promise<T>): Promise<T> {
  const handle = await fs.open(path, flags | constants.O_NOFOLLOW);
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}

const mostNames = 1_000_000;

/** In pieces: whoever may write into the folder decides how many names there are. */
async function list(path: string): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of await fs.opendir(path, { bufferSize: 1024 })) {
    if (names.length === mostNames) throw Object.assign(new Error(`too many files in ${path}`), { code: 'E2BIG' });
    names.push(name);
  }
  return names;
}

async function readFully(handle: fs.FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function syncDirectory(path: string): Promise<void> {
  return withHandle(path, constants.O_RDONLY, (handle) => handle.sync());
}
