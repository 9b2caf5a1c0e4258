// Lets this thread, and nothing else of the process, stand still: for what is synchronous because the library is.
export function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
