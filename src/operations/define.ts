// What an operation is. One definition says its name, input, the resources it touches with the permission each needs, the key states
// it accepts, how it runs and what of it is audited. The line, the AWS façade, the audit and the documentation all read it from here.
import type { Clock } from '../kernel/clock.js';
import type { Random } from '../kernel/random.js';
import { arnOfKey, type Alias, type Key, type KeyRef } from '../model/key.js';
import type { Principal } from '../model/principal.js';
import type { Service } from '../model/service.js';
import type { AuditLog } from '../ports/audit.js';
import type { Store } from '../ports/store.js';
import type { Asker, Token } from '../ports/token.js';
import { recordWriter, sparseRecordWriter, type RecordWriter } from '../shapes/record.js';
import { required, type Members, type RecordedMember, type Structure, type ValueOf } from '../shapes/shape.js';
import * as member from './members.js';

export type Permission = `kms:${string}`;

/** A resource the call touches, and the permission it needs there. */
export type Target =
  /** The account itself: no key policy is asked. */
  | { readonly kind: 'account'; readonly permission: Permission }
  /** A key by any form of KeyId; `aliases`: whether AWS accepts an alias here. */
  | { readonly kind: 'key'; readonly permission: Permission; readonly keyId: string; readonly aliases: boolean }
  /** The key a ciphertext was made under. */
  | { readonly kind: 'ciphertext'; readonly permission: Permission; readonly ciphertext: Buffer }
  /** The alias itself, which need not exist yet. */
  | { readonly kind: 'alias'; readonly permission: Permission; readonly aliasName: string }
  /** The key an existing alias points at. */
  | { readonly kind: 'keyOfAlias'; readonly permission: Permission; readonly aliasName: string };

/**
 * Key states an operation accepts (AWS KMS Developer Guide, "Key states of AWS KMS keys"):
 * any · usable = Enabled · manageable = not PendingDeletion · pendingDeletion = only that.
 */
export type StateRule = 'any' | 'usable' | 'manageable' | 'pendingDeletion';

/** What the adapters give every operation. */
export interface Services {
  readonly store: Store;
  readonly audit: AuditLog;
  readonly clock: Clock;
  /** Why the clock is not believed to be right; undefined: it is. What is to wait for days is not begun then. */
  readonly clockDoubt: () => string | undefined;
  readonly random: Random;
  /** This gateway's life: rows whose material it is making carry it. */
  readonly life: string;
  /** The Region's token for calls that an account's call needs, or for the daemon's own. */
  readonly token: (region: string, asker: Asker) => Token;
  /** Resolves when one more message may be encrypted under the key's current backing key; may rotate it first. */
  readonly countMessage: (key: Key) => Promise<Key>;
}

/** One authorized call. `keys`: those of its key-like targets, in their order. */
export interface Call {
  readonly principal: Principal;
  readonly region: string;
  readonly accountId: string;
  readonly requestId: string;
  readonly nowMs: number;
  readonly keys: readonly Key[];
  readonly alias: Alias | undefined;
  readonly services: Services;
}

/**
 * What the audit says of a call beyond who and when, by the API's names of members; it prints them in lower camel case. Anything not listed
 * never reaches the log, and a secret cannot be listed.
 */
export interface Recorded<I, O> {
  readonly request: readonly RecordedMember<I>[];
  readonly response?: readonly RecordedMember<O>[];
  /** Under additionalEventData. */
  readonly additional?: readonly RecordedMember<O>[];
}

/** A resource that came into being: the record's own. */
export interface Made {
  readonly accountId: string;
  readonly arn: string;
}

/** What an operation answers, if it answers anything. */
type Output = Structure | 'nothing';
type MembersOf<O> = O extends Structure<infer M> ? M : unknown;
/** What is answered and what is only recorded. */
type Result<O, N extends Members> = (O extends Structure ? ValueOf<O> : unknown) & ValueOf<Structure<N>>;

export interface Definition<I extends Structure, O extends Output, N extends Members> {
  readonly name: string;
  /** CloudTrail's readOnly: cryptographic operations are read-only. */
  readonly readOnly: boolean;
  /** Changes the daemon's state: a durable intent goes before it. */
  readonly mutates: boolean;
  readonly crossAccount: boolean;
  readonly state: StateRule;
  readonly input: I;
  /** What leaves as the answer: of what `run` returns, no more than its members. */
  readonly output: O;
  /** What `run` returns beside it, for the record alone. */
  readonly noted?: N;
  /** Never empty: there is no operation without a permission. Throws for arguments that AWS refuses before it looks anything up. */
  readonly targets: (input: ValueOf<I>) => readonly [Target, ...Target[]];
  /** What must hold beyond the key's state, and what DryRun therefore reports too. Throws; touches neither token nor store. */
  readonly check?: (input: ValueOf<I>, call: Call) => void;
  /** What DryRun must try as well, so that its "would have succeeded" is accurate. May ask the token; changes nothing, counts no message. */
  readonly rehearse?: (input: ValueOf<I>, call: Call) => Promise<void>;
  readonly run: (input: ValueOf<I>, call: Call) => Promise<Result<O, NoInfer<N>>>;
  readonly record: Recorded<I['members'], MembersOf<O> & NoInfer<N>>;
  readonly made?: (result: Result<O, NoInfer<N>>) => Made;
}

/** What every input may carry and the line looks at. */
export interface Input {
  readonly DryRun?: boolean;
  readonly GrantTokens?: readonly string[];
}

/** An operation with its types folded away and what its record says compiled: what the line handles. Only `define` makes one, from matching parts. */
export interface AnyOperation {
  readonly service: Service;
  readonly name: string;
  readonly readOnly: boolean;
  readonly mutates: boolean;
  readonly crossAccount: boolean;
  readonly state: StateRule;
  readonly input: Structure;
  readonly output: Output;
  readonly record: Readonly<
    Record<'request', readonly string[]> & Partial<Record<'response' | 'additional', readonly string[]>>
  >;
  readonly targets: (input: Input) => readonly [Target, ...Target[]];
  readonly check?: ((input: Input, call: Call) => void) | undefined;
  readonly rehearse?: ((input: Input, call: Call) => Promise<void>) | undefined;
  readonly run: (input: Input, call: Call) => Promise<object>;
  readonly made?: ((result: object) => Made) | undefined;
  /** Each member of the record as JSON; undefined where the operation has none. */
  readonly print: {
    readonly request: RecordWriter | undefined;
    readonly response: RecordWriter | undefined;
    readonly additional: RecordWriter | undefined;
  };
}

const nothingNoted = {};

/** An operation of KMS. */
export function define<
  const I extends Structure,
  const O extends Output,
  const N extends Members = typeof nothingNoted,
>(definition: Definition<I, O, N>): AnyOperation {
  // The registry hands each operation only what its own `input` shape made, so widening the types is safe here and nowhere else.
  const folded = definition as unknown as Omit<AnyOperation, 'service' | 'print'> & { readonly noted?: Members };
  const { input, output, noted = nothingNoted, record } = folded;
  const result = { ...(output === 'nothing' ? {} : output.members), ...noted };
  const { request, response, additional } = record;
  return {
    service: 'kms',
    ...folded,
    print: {
      request: request.length === 0 ? undefined : sparseRecordWriter(input.members, request),
      response: response && recordWriter(result, response),
      additional: additional && sparseRecordWriter(result, additional),
    },
  };
}

/** A change of a key that AWS answers with nothing, and whose record names the key (CloudTrail's responseElements since December 2022). */
export const changedKey = {
  output: 'nothing',
  noted: { KeyId: required(member.keyId) },
  response: ['KeyId'],
  result: (key: KeyRef): { readonly KeyId: string } => ({ KeyId: arnOfKey(key) }),
} as const;

/** The n-th key of an authorized call: `resolve` put it there, or the call would not have come so far. */
export function keyAt(call: Call, n: number): Key {
  const key = call.keys[n];
  if (key === undefined) throw new Error(`the operation named no key ${n}`);
  return key;
}
