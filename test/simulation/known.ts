// What the callers of a simulated daemon know: which answers they got, and what must therefore be so. Anything else is a violation.
import type { BridgeError } from '../../src/kernel/errors.js';
import type { Answer } from './gateway.js';

export type State = 'Enabled' | 'Disabled' | 'PendingDeletion' | 'Deleted';

export interface KnownKey {
  readonly id: string;
  readonly arn: string;
  readonly ciphertexts: { readonly blob: string; readonly plaintext: string }[];
  /** As the last answer had it. */
  state: State;
  /** What calls without an answer may have made of it, or may make of it yet. */
  readonly perhaps: Set<State>;
  /** Calls that change its state and have no answer yet. */
  changing: number;
  /** Another number after each change that was answered or given up. */
  version: number;
  /** When its deletion was first asked for, by the time that really passed. */
  scheduledAtMs: number | undefined;
}

/** A line of the audit log, as far as it is looked at. */
export interface AuditLine {
  readonly kind: 'event' | 'intent';
  readonly seq: number;
  readonly record: {
    readonly eventName: string;
    readonly requestID?: string;
    readonly errorCode?: string;
    readonly resources?: readonly { readonly ARN: string }[];
  };
}

export const linesOf = (text: string): AuditLine[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditLine);

export class Known {
  readonly keys: KnownKey[] = [];
  readonly aliases = new Map<string, { id: string | undefined; isSure: boolean }>();
  readonly violations: string[] = [];
  /** By request: the call's name, and whether it succeeded. */
  readonly answers = new Map<string, { readonly name: string; readonly error: BridgeError | undefined }>();
  /** Records that no power cut takes away, by request. */
  readonly #durable = new Map<string, AuditLine[]>();

  violated(what: string): void {
    this.violations.push(what);
  }

  becameDurable(text: string): void {
    for (const line of linesOf(text)) {
      const { requestID } = line.record;
      if (requestID !== undefined) this.#durable.set(requestID, [...(this.#durable.get(requestID) ?? []), line]);
    }
  }

  /** An answer leaves the gateway now. */
  answered(name: string, isChange: boolean, answer: Answer): void {
    const error = 'error' in answer ? answer.error : undefined;
    this.answers.set(answer.requestId, { name, error });
    const lines = this.#durable.get(answer.requestId) ?? [];
    const events = lines.filter(({ kind }) => kind === 'event');
    const isRecorded = events.length === 1 && events[0]?.record.errorCode === error?.code;
    // What could not be recorded is an internal error to the caller, or one of too many.
    const isUnrecordable = error?.code === 'KMSInternalException' || error?.code === 'ThrottlingException';
    if (!isRecorded && !(isUnrecordable && events.length === 0))
      this.violated(`${name} was answered (${error?.code ?? 'success'}) before its record was on the disk`);
    if (error === undefined && isChange && !lines.some(({ kind }) => kind === 'intent'))
      this.violated(`${name} was answered and has no intent on the disk`);
  }
}
