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
import type { Shape } from './shapes.js';

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
  /** This start of this gateway (`laneIncarnation`): rows whose material it is making carry it. */
  readonly incarnation: number;
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

/** Member names as in the API; the audit prints them in lower camel case. Anything not listed never reaches the log. */
export interface Audited<I, O> {
  readonly request: readonly (keyof I & string)[];
  readonly response?: (output: O) => Readonly<Record<string, unknown>>;
  /** The key that came into being: the record's resource. */
  readonly made?: (output: O) => KeyRef;
  /** Names of output members printed under additionalEventData. */
  readonly additional?: readonly (keyof O & string)[];
}

export interface Operation<I = never, O = unknown> {
  readonly service: Service;
  readonly name: string;
  /** CloudTrail's readOnly: cryptographic operations are read-only. */
  readonly readOnly: boolean;
  /** Changes the daemon's state: a durable intent goes before it. */
  readonly mutates: boolean;
  readonly crossAccount: boolean;
  readonly state: StateRule;
  readonly input: Shape<I>;
  /** Never empty: there is no operation without a permission. Throws for arguments that AWS refuses before it looks anything up. */
  readonly targets: (input: I) => readonly [Target, ...Target[]];
  /** What must hold beyond the key's state, and what DryRun therefore reports too. Throws; touches neither token nor store. */
  readonly check?: (input: I, call: Call) => void;
  /** What DryRun must try as well, for its answer to be true. Throws; may ask the token; changes nothing and counts no message. */
  readonly rehearse?: (input: I, call: Call) => Promise<void>;
  readonly run: (input: I, call: Call) => Promise<O>;
  /** What of the output leaves as the answer, if not all of it: the rest is for the record. */
  readonly answer?: (output: O) => object | undefined;
  readonly audited: Audited<I, O>;
}

/** An operation with its types folded away: what the line handles. Only `define` makes one, from matching parts. */
export type AnyOperation = Operation<Input, object | undefined>;

/** What every input may carry and the line looks at. */
export interface Input {
  readonly DryRun?: boolean;
  readonly GrantTokens?: readonly string[];
}

/** An operation of KMS. */
export function define<I, O extends object | undefined>(
  operation: Omit<Operation<I & Input, O>, 'service'>,
): AnyOperation {
  // The registry hands each operation only what its own `input` shape made, so widening the types is safe here and nowhere else.
  return { service: 'kms', ...operation } as unknown as AnyOperation;
}

/** A change of a key that AWS answers with nothing, and whose record names the key (CloudTrail's responseElements since December 2022). */
export interface ChangedKey {
  readonly KeyId: string;
}

export const changedKey = (key: KeyRef): ChangedKey => ({ KeyId: arnOfKey(key) });
export const printChanged = ({ KeyId }: ChangedKey): Readonly<Record<string, unknown>> => ({ KeyId });
export const answerNothing = (): undefined => undefined;

/** The n-th key of an authorized call: `resolve` put it there, or the call would not have come so far. */
export function keyAt(call: Call, n: number): Key {
  const key = call.keys[n];
  if (key === undefined) throw new Error(`the operation named no key ${n}`);
  return key;
}
