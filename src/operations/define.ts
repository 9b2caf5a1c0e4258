// What an operation is. One definition says its name, input and output, the resources it touches with the permission and the key states each
// needs, how it runs and what of it is audited. The line, façades, the audit and the documentation all read it from here.
import type { Clock } from '../kernel/clock.js';
import type { Random } from '../kernel/random.js';
import type { Timers } from '../kernel/timers.js';
import { arnOfKey, type Key, type KeyRef } from '../model/key.js';
import type { Principal } from '../model/principal.js';
import type { Service } from '../model/service.js';
import type { AuditLog } from '../ports/audit.js';
import type { Store } from '../ports/store.js';
import type { Tokens } from '../ports/token.js';
import { recordWriter, sparseRecordWriter, type RecordWriter } from '../shapes/record.js';
import { required, type Members, type RecordedMember, type Structure, type ValueOf } from '../shapes/shape.js';
import * as member from './members.js';
import type { AliasesOf, AskedAlways, KeysOf, Resource, Resources } from './resources.js';

/** What the adapters give every operation. */
export interface Services {
  readonly store: Store;
  readonly audit: AuditLog;
  readonly clock: Clock;
  /** Why the clock is not believed to be right; undefined: it is. What is to wait for days is not begun then. */
  readonly clockDoubt: () => string | undefined;
  readonly random: Random;
  readonly timers: Timers;
  /** This gateway's life: rows whose material it is making carry it. */
  readonly life: string;
  readonly tokens: Tokens;
  /** Resolves when one more message may be encrypted under the key's current backing key; may rotate it first. */
  readonly countMessage: (key: Key) => Promise<Key>;
}

/** One authorized call, by itself. `keys` and `aliases`: what its resources are, by their names. */
export interface Asked<R extends Resources> {
  readonly principal: Principal;
  readonly region: string;
  readonly accountId: string;
  readonly requestId: string;
  readonly nowMs: number;
  readonly keys: KeysOf<R>;
  readonly aliases: AliasesOf<R>;
}

/** The same with what it works with. */
export interface Call<R extends Resources = Resources> extends Asked<R> {
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

/**
 * `use`: of a key, which changes nothing but a counter · `read` · `change` of the daemon's state, before which goes a durable intent.
 * CloudTrail calls only the last one not readOnly.
 */
export type Effect = 'use' | 'read' | 'change';

/** AWS's request quota: one that cryptographic operations share for each family of key specs, or the operation's own. */
export type Quota = 'cryptographic' | 'own';

type MemberName<I extends Structure> = keyof I['members'] & string;

export interface Definition<
  I extends Structure,
  O extends Output,
  N extends Members,
  R extends Resources<MemberName<I>>,
> {
  readonly name: string;
  readonly effect: Effect;
  readonly crossAccount: boolean;
  readonly quota: Quota;
  readonly input: I;
  /** What leaves as the answer: of what `run` returns, no more than its members. */
  readonly output: O;
  /** What `run` returns beside it, for the record alone. */
  readonly noted?: N;
  /** At least one is asked of every call: there is no operation without a permission. */
  readonly resources: R & ([AskedAlways<R>] extends [never] ? 'an operation asks for a permission, always' : unknown);
  /** What AWS refuses of the arguments before it looks anything up. Throws. */
  readonly validate?: (input: ValueOf<I>) => void;
  /** What must hold beyond the keys' states, and what DryRun therefore reports too. Throws; token and store are out of its reach. */
  readonly check?: (input: ValueOf<I>, asked: Asked<R>) => void;
  /** What DryRun must try as well, so that its "would have succeeded" is accurate. May ask the token; changes nothing, counts no message. */
  readonly rehearse?: (input: ValueOf<I>, call: Call<R>) => Promise<void>;
  readonly run: (input: ValueOf<I>, call: Call<R>) => Promise<Result<O, NoInfer<N>>>;
  readonly record: Recorded<I['members'], MembersOf<O> & NoInfer<N>>;
  readonly made?: (result: Result<O, NoInfer<N>>) => Made;
}

/** What every input may carry and the line looks at. */
export interface Input {
  readonly DryRun?: boolean;
  readonly GrantTokens?: readonly string[];
}

/** A resource with the name that its operation has for it. */
export interface NamedResource {
  readonly name: string;
  readonly resource: Resource;
}

/** An operation with its types folded away and what its record says compiled: what the line handles. Only `define` makes one, from matching parts. */
export interface AnyOperation {
  readonly service: Service;
  readonly name: string;
  readonly effect: Effect;
  readonly crossAccount: boolean;
  readonly quota: Quota;
  readonly input: Structure;
  readonly output: Output;
  readonly record: Readonly<
    Record<'request', readonly string[]> & Partial<Record<'response' | 'additional', readonly string[]>>
  >;
  readonly resources: readonly NamedResource[];
  readonly validate?: ((input: Input) => void) | undefined;
  readonly check?: ((input: Input, asked: Asked<Resources>) => void) | undefined;
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
  const R extends Resources<MemberName<I>>,
  const N extends Members = typeof nothingNoted,
>(definition: Definition<I, O, N, R>): AnyOperation {
  // The registry hands each operation only what its own `input` shape made, so widening the types is safe here and nowhere else.
  const folded = definition as unknown as Omit<AnyOperation, 'service' | 'print' | 'resources'> & {
    readonly noted?: Members;
    readonly resources: Resources;
  };
  const { input, output, noted = nothingNoted, record } = folded;
  const result = { ...(output === 'nothing' ? {} : output.members), ...noted };
  const { request, response, additional } = record;
  return {
    service: 'kms',
    ...folded,
    resources: Object.entries(folded.resources).map(([name, resource]) => ({ name, resource })),
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
