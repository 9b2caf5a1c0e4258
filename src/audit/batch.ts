// The records that one commit makes durable together, and the one promise all their callers wait for.

export class Batch {
  records = 0;
  length = 0;
  firstSeq = 0;
  /** Resolves when the batch is durable. One promise for all: a commit may have hundreds of waiters. */
  readonly durable: Promise<void>;
  bytes: Buffer;
  #resolve!: () => void;
  #reject!: (error: Error) => void;

  /** `bytes`: where the lines go, kept from an earlier batch. */
  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.durable = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A batch may fail while none of its callers looks.
    this.durable.catch(() => undefined);
  }

  add(line: string, seq: number): void {
    // UTF-8 needs three bytes for a UTF-16 unit at most.
    if (this.bytes.length - this.length < line.length * 3) this.#grow(line.length * 3);
    if (this.records === 0) this.firstSeq = seq;
    this.length += this.bytes.write(line, this.length, 'utf8');
    this.records += 1;
  }

  resolve(): void {
    this.#resolve();
  }

  reject(error: Error): void {
    this.#reject(error);
  }

  #grow(need: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.length + need));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}
