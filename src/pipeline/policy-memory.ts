// Compiled policies, by their text: most keys of an account have the same one. What they hold is bounded in bytes; a policy of 32 KB may
// compile to thirty times as much.
import { BoundedMemory, textBytes, use, type Kept } from '../kernel/bounded-memory.js';
import type { KeyPolicy } from '../policy/document.js';

interface Remembered {
  readonly policy: KeyPolicy;
  kept: Kept | undefined;
}

const entryBytes = 500;

export class PolicyMemory {
  readonly #memory: BoundedMemory;
  readonly #byText = new Map<string, Remembered>();

  constructor(limitBytes: number) {
    this.#memory = new BoundedMemory(limitBytes);
  }

  get bytes(): number {
    return this.#memory.bytes;
  }

  get(text: string): KeyPolicy | undefined {
    const known = this.#byText.get(text);
    use(known?.kept);
    return known?.policy;
  }

  set(text: string, policy: KeyPolicy): void {
    const remembered: Remembered = { policy, kept: undefined };
    this.#byText.set(text, remembered);
    remembered.kept = this.#memory.keep(policy, policy.bytes, this, entryBytes + textBytes(text), () => {
      if (this.#byText.get(text) === remembered) this.#byText.delete(text);
    });
  }
}
