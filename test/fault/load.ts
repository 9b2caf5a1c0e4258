// A load of mixed operations whose clients remember what was acknowledged, and only that. A call without an answer leaves what it touched
// uncertain: either outcome is right then, and nothing in between.
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DeleteAliasCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  type KMSClient,
  ReEncryptCommand,
  ScheduleKeyDeletionCommand,
  TagResourceCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import type { Outages } from './outages.js';

export interface Ciphertext {
  readonly region: string;
  readonly keyArn: string;
  readonly blob: Uint8Array;
  readonly context: Record<string, string>;
  readonly plaintext: string;
}

/** What should be so; undefined when a call about it was never answered. */
type Known<T> = T | undefined;

export interface Remembered {
  readonly keys: { readonly region: string; readonly arn: string }[];
  readonly ciphertexts: Ciphertext[];
  /** By Region and name: the key's id, or `none`. */
  readonly aliases: Map<string, Known<string>>;
  /** By key ARN and tag. */
  readonly tags: Map<string, Known<string>>;
  /** By key ARN: Enabled, Disabled or PendingDeletion. */
  readonly states: Map<string, Known<string>>;
  /** Of calls that were answered with success, and the operation. */
  readonly acknowledged: Map<string, string>;
  /** Failures that a killed process does not explain. */
  readonly strange: string[];
}

export interface LoadOptions {
  readonly operations: number;
  readonly concurrency: number;
  readonly random: () => number;
  readonly regions: readonly string[];
  readonly client: (region: string) => KMSClient;
  readonly outages: Outages;
  /** Called with the number of operations done. */
  readonly onProgress: (done: number) => void;
  /** Resolves when it may be worth trying again. */
  readonly afterRefusal: () => Promise<void>;
}

/** Failures that say: the effect is unknown. */
const excusable = new Set(['DependencyTimeoutException', 'TimeoutError']);
/** Excused while the Region's token host is away. */
const hostAway = 'KMSInternalException';
/** Are answered by nothing but a token that works. */
const ofToken = new Set(['CreateKey', 'Encrypt', 'Decrypt', 'GenerateDataKey', 'ReEncrypt']);
const neverSent = /ECONNREFUSED/;
const cutOff = /ECONNRESET|EPIPE|socket hang up|aborted|ECONNREFUSED/;

export const remember = (): Remembered => ({
  keys: [],
  ciphertexts: [],
  aliases: new Map(),
  tags: new Map(),
  states: new Map(),
  acknowledged: new Map(),
  strange: [],
});

export async function runLoad(options: LoadOptions, memory: Remembered): Promise<void> {
  let done = 0;
  const worker = async (number: number): Promise<void> => {
    const own = new Worker(number, options, memory);
    while (done < options.operations) {
      const outcome = await own.step();
      if (outcome === 'refused') {
        await options.afterRefusal();
        continue;
      }
      done += 1;
      options.onProgress(done);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, (_, number) => worker(number)));
}

type Outcome = 'answered' | 'failed' | 'refused';
interface Answer {
  readonly $metadata: { readonly requestId?: string | undefined };
}

/** One client. Aliases, tags and the states of keys it changes are its own, so that it knows their order. */
class Worker {
  readonly #number: number;
  readonly #options: LoadOptions;
  readonly #memory: Remembered;
  readonly #ownKeys: { readonly region: string; readonly arn: string }[] = [];
  #made = 0;

  constructor(number: number, options: LoadOptions, memory: Remembered) {
    this.#number = number;
    this.#options = options;
    this.#memory = memory;
  }

  step(): Promise<Outcome> {
    const { keys, ciphertexts } = this.#memory;
    const dice = this.#options.random();
    if (keys.length < 4 || dice < 0.03) return this.#createKey();
    if (ciphertexts.length < 4 || dice < 0.36) return this.#encrypt();
    if (dice < 0.64) return this.#decrypt();
    if (dice < 0.78) return this.#dataKey();
    if (dice < 0.87) return this.#reEncrypt();
    if (dice < 0.92) return this.#alias();
    if (dice < 0.96) return this.#tag();
    return this.#deletion();
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#options.random() * items.length)]!;
  }

  async #createKey(): Promise<Outcome> {
    const region = this.#pick(this.#options.regions);
    const forStates = this.#made++ % 3 === 2;
    return this.#send(
      'CreateKey',
      region,
      (kms) => kms.send(new CreateKeyCommand({})),
      ({ KeyMetadata }) => {
        const key = { region, arn: KeyMetadata?.Arn ?? '' };
        this.#memory.states.set(key.arn, 'Enabled');
        if (forStates) this.#ownKeys.push(key);
        else this.#memory.keys.push(key);
      },
    );
  }

  #encrypt(): Promise<Outcome> {
    const { region, arn } = this.#pick(this.#memory.keys);
    const plaintext = `${this.#number}-${this.#options.random()}`;
    const context = { worker: String(this.#number) };
    const command = new EncryptCommand({ KeyId: arn, Plaintext: Buffer.from(plaintext), EncryptionContext: context });
    return this.#send(
      'Encrypt',
      region,
      (kms) => kms.send(command),
      ({ CiphertextBlob }) => {
        this.#memory.ciphertexts.push({ region, keyArn: arn, blob: CiphertextBlob!, context, plaintext });
      },
    );
  }

  #decrypt(): Promise<Outcome> {
    const { region, keyArn, blob, context, plaintext } = this.#pick(this.#memory.ciphertexts);
    const command = new DecryptCommand({ CiphertextBlob: blob, EncryptionContext: context });
    return this.#send(
      'Decrypt',
      region,
      (kms) => kms.send(command),
      ({ Plaintext, KeyId }) => {
        if (Buffer.from(Plaintext!).toString('latin1') !== plaintext || KeyId !== keyArn) {
          this.#memory.strange.push(`Decrypt under ${keyArn} gave another plaintext or key`);
        }
      },
    );
  }

  #dataKey(): Promise<Outcome> {
    const { region, arn } = this.#pick(this.#memory.keys);
    const command = new GenerateDataKeyCommand({ KeyId: arn, KeySpec: 'AES_256' });
    return this.#send(
      'GenerateDataKey',
      region,
      (kms) => kms.send(command),
      ({ Plaintext, CiphertextBlob }) => {
        const plaintext = Buffer.from(Plaintext!).toString('latin1');
        this.#memory.ciphertexts.push({ region, keyArn: arn, blob: CiphertextBlob!, context: {}, plaintext });
      },
    );
  }

  #reEncrypt(): Promise<Outcome> {
    const from = this.#pick(this.#memory.ciphertexts);
    const { region } = from;
    const { arn } = this.#pick(this.#memory.keys.filter((key) => key.region === region));
    const context = { again: 'yes' };
    const command = new ReEncryptCommand({
      CiphertextBlob: from.blob,
      SourceEncryptionContext: from.context,
      DestinationKeyId: arn,
      DestinationEncryptionContext: context,
    });
    return this.#send(
      'ReEncrypt',
      region,
      (kms) => kms.send(command),
      ({ CiphertextBlob }) => {
        const { plaintext } = from;
        this.#memory.ciphertexts.push({ region, keyArn: arn, blob: CiphertextBlob!, context, plaintext });
      },
    );
  }

  #alias(): Promise<Outcome> {
    const { aliases } = this.#memory;
    const { region, arn } = this.#pick(this.#memory.keys);
    const AliasName = `alias/w${this.#number}-${Math.floor(this.#options.random() * 4)}`;
    const at = `${region} ${AliasName}`;
    const before = aliases.has(at) ? aliases.get(at) : 'none';
    const keyId = arn.split('/')[1]!;
    // Of one that may or may not be there only an update can be tried; NotFound is an answer then.
    const uncertain = before === undefined ? ['NotFoundException'] : [];
    aliases.set(at, undefined);
    const undo = (): void => void aliases.set(at, before);
    if (before === 'none') {
      const create = new CreateAliasCommand({ AliasName, TargetKeyId: keyId });
      return this.#send(
        'CreateAlias',
        region,
        (kms) => kms.send(create),
        () => void aliases.set(at, keyId),
        { undo },
      );
    }
    if (this.#options.random() < 0.3) {
      const remove = new DeleteAliasCommand({ AliasName });
      return this.#send(
        'DeleteAlias',
        region,
        (kms) => kms.send(remove),
        () => void aliases.set(at, 'none'),
        {
          undo,
          answers: uncertain,
        },
      );
    }
    const update = new UpdateAliasCommand({ AliasName, TargetKeyId: keyId });
    return this.#send(
      'UpdateAlias',
      region,
      (kms) => kms.send(update),
      () => void aliases.set(at, keyId),
      { undo, answers: uncertain },
    );
  }

  #tag(): Promise<Outcome> {
    const { tags } = this.#memory;
    const { region, arn } = this.#pick(this.#memory.keys);
    const TagKey = `w${this.#number}`;
    const TagValue = String(this.#options.random());
    const at = `${arn} ${TagKey}`;
    const [had, before] = [tags.has(at), tags.get(at)];
    tags.set(at, undefined);
    const undo = (): void => {
      if (had) tags.set(at, before);
      else tags.delete(at);
    };
    const command = new TagResourceCommand({ KeyId: arn, Tags: [{ TagKey, TagValue }] });
    return this.#send(
      'TagResource',
      region,
      (kms) => kms.send(command),
      () => void tags.set(at, TagValue),
      { undo },
    );
  }

  #deletion(): Promise<Outcome> {
    const { states } = this.#memory;
    if (this.#ownKeys.length === 0) return this.#createKey();
    const { region, arn } = this.#pick(this.#ownKeys);
    const before = states.get(arn);
    states.set(arn, undefined);
    const undo = (): void => void states.set(arn, before);
    const scheduled = before === 'PendingDeletion' || (before === undefined && this.#options.random() < 0.5);
    const options = { undo, answers: before === undefined ? ['KMSInvalidStateException'] : [] };
    if (scheduled) {
      const cancel = new CancelKeyDeletionCommand({ KeyId: arn });
      return this.#send(
        'CancelKeyDeletion',
        region,
        (kms) => kms.send(cancel),
        () => void states.set(arn, 'Disabled'),
        options,
      );
    }
    const schedule = new ScheduleKeyDeletionCommand({ KeyId: arn, PendingWindowInDays: 7 });
    return this.#send(
      'ScheduleKeyDeletion',
      region,
      (kms) => kms.send(schedule),
      () => void states.set(arn, 'PendingDeletion'),
      options,
    );
  }

  /** `answers`: error names that are right too. `undo` when the request certainly never left. */
  async #send<Output extends Answer>(
    operation: string,
    region: string,
    request: (kms: KMSClient) => Promise<Output>,
    acknowledged: (output: Output) => void,
    { answers = [], undo = () => undefined }: { answers?: readonly string[]; undo?: () => void } = {},
  ): Promise<Outcome> {
    const begun = this.#options.outages.begin(region);
    try {
      const output = await request(this.#options.client(region));
      if (ofToken.has(operation)) begun.answeredByToken();
      acknowledged(output);
      this.#memory.acknowledged.set(output.$metadata.requestId ?? `none-${operation}`, operation);
      return 'answered';
    } catch (thrown) {
      const error = thrown as Error;
      if (neverSent.test(error.message)) {
        undo();
        return 'refused';
      }
      if (answers.includes(error.name)) return 'answered';
      const isExcused = excusable.has(error.name) || (error.name === hostAway && begun.isExplained());
      if (!isExcused && !cutOff.test(`${error.name} ${error.message}`)) {
        this.#memory.strange.push(`${operation} in ${region}: ${error.name}: ${error.message}`);
      }
      return 'failed';
    }
  }
}
