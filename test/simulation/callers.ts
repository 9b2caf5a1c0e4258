// Those who call a simulated daemon: each makes one call after the other, to whichever gateway there is, and holds it to what it was answered.
import type { Daemon } from './daemon.js';
import type { Answer, Gateway } from './gateway.js';
import type { Known, KnownKey } from './known.js';
import type { World } from './world.js';

/** The connection broke, or nothing was said for so long: nobody knows what became of the call. */
export type Outcome = Answer | 'lost';

const patienceMs = 20_000;
const changes = new Set([
  'CreateKey',
  'CreateAlias',
  'UpdateAlias',
  'DeleteAlias',
  'DisableKey',
  'EnableKey',
  'ScheduleKeyDeletion',
  'CancelKeyDeletion',
]);
/** What a caller may hear at any time while things fail. */
const excuses = new Set([
  'KMSInternalException',
  'DependencyTimeoutException',
  'KeyUnavailableException',
  'ThrottlingException',
]);

type Input = Readonly<Record<string, unknown>>;

export class Caller {
  readonly #world: World;
  readonly #daemon: Daemon;
  readonly #known: Known;
  readonly #number: number;
  /** Only it changes their states. */
  readonly #own: KnownKey[] = [];

  constructor(number: number, world: World, daemon: Daemon, known: Known) {
    this.#number = number;
    this.#world = world;
    this.#daemon = daemon;
    this.#known = known;
  }

  /** Resolves when as many calls have come to an end. */
  async run(calls: number): Promise<void> {
    const { schedule } = this.#world;
    for (let made = 0; made < calls; made += 1) {
      await this.#pause(schedule.between(0, 30));
      await this.#act();
    }
  }

  #act(): Promise<void> {
    const { schedule } = this.#world;
    const { keys } = this.#known;
    const dice = schedule.random();
    if (keys.length === 0 || dice < 0.2) return this.#create();
    const key = schedule.pick(keys);
    if (dice < 0.4) return this.#encrypt(key);
    if (dice < 0.55) return this.#decrypt(key);
    if (dice < 0.62) return this.#dataKey(key);
    if (dice < 0.7) return this.#reEncrypt(key);
    if (dice < 0.8) return this.#alias(key);
    return this.#own.length === 0 ? this.#create() : this.#changeState(schedule.pick(this.#own));
  }

  async #create(): Promise<void> {
    const outcome = await this.call('CreateKey', {});
    if (outcome === 'lost' || 'error' in outcome) {
      this.#excused('CreateKey', outcome);
      return;
    }
    const { KeyId: id, Arn: arn } = outcome.json['KeyMetadata'] as { readonly KeyId: string; readonly Arn: string };
    const key: KnownKey = {
      id,
      arn,
      ciphertexts: [],
      state: 'Enabled',
      perhaps: new Set(),
      changing: 0,
      version: 0,
      scheduledAtMs: undefined,
    };
    this.#known.keys.push(key);
    this.#own.push(key);
  }

  async #encrypt(key: KnownKey): Promise<void> {
    const plaintext = Buffer.from(`${this.#number} ${this.#world.schedule.random()}`).toString('base64');
    const json = await this.#use(key, 'Encrypt', { KeyId: key.id, Plaintext: plaintext });
    if (json !== undefined) key.ciphertexts.push({ blob: json['CiphertextBlob'] as string, plaintext });
  }

  async #decrypt(key: KnownKey): Promise<void> {
    if (key.ciphertexts.length === 0) return this.#encrypt(key);
    const { blob, plaintext } = this.#world.schedule.pick(key.ciphertexts);
    const json = await this.#use(key, 'Decrypt', { CiphertextBlob: blob });
    if (json !== undefined && json['Plaintext'] !== plaintext)
      this.#known.violated(`Decrypt under ${key.id} gave another plaintext`);
  }

  async #dataKey(key: KnownKey): Promise<void> {
    const json = await this.#use(key, 'GenerateDataKey', { KeyId: key.id, KeySpec: 'AES_256' });
    if (json === undefined) return;
    key.ciphertexts.push({ blob: json['CiphertextBlob'] as string, plaintext: json['Plaintext'] as string });
  }

  async #reEncrypt(key: KnownKey): Promise<void> {
    const from = this.#known.keys.find(({ ciphertexts }) => ciphertexts.length > 0);
    const [taken] = from?.ciphertexts ?? [];
    if (taken === undefined) return this.#encrypt(key);
    // Either key may be refused: only what it gives is looked at.
    const outcome = await this.call('ReEncrypt', { CiphertextBlob: taken.blob, DestinationKeyId: key.id });
    if (outcome !== 'lost' && 'json' in outcome)
      key.ciphertexts.push({ blob: outcome.json['CiphertextBlob'] as string, plaintext: taken.plaintext });
  }

  /** An alias is one caller's. */
  async #alias({ id }: KnownKey): Promise<void> {
    const AliasName = `alias/${this.#number}`;
    const before = this.#known.aliases.get(AliasName) ?? { id: undefined, isSure: true };
    const removes = before.id !== undefined && this.#world.schedule.chance(0.4);
    const name = removes ? 'DeleteAlias' : before.id === undefined ? 'CreateAlias' : 'UpdateAlias';
    const outcome = await this.call(name, removes ? { AliasName } : { AliasName, TargetKeyId: id });
    if (outcome !== 'lost' && 'json' in outcome)
      this.#known.aliases.set(AliasName, { id: removes ? undefined : id, isSure: before.isSure });
    else if (outcome === 'lost' || excuses.has(outcome.error.code))
      this.#known.aliases.set(AliasName, { ...before, isSure: false });
  }

  async #changeState(key: KnownKey): Promise<void> {
    const { schedule } = this.#world;
    const cancels = key.state === 'PendingDeletion';
    const [name, to] = cancels
      ? (['CancelKeyDeletion', 'Disabled'] as const)
      : schedule.pick([
          ['DisableKey', 'Disabled'],
          ['EnableKey', 'Enabled'],
          ['ScheduleKeyDeletion', 'PendingDeletion'],
        ] as const);
    const scheduling = name === 'ScheduleKeyDeletion';
    if (scheduling) key.scheduledAtMs ??= schedule.nowMs;
    key.changing += 1;
    const outcome = await this.call(name, { KeyId: key.id, ...(scheduling ? { PendingWindowInDays: 7 } : {}) });
    key.changing -= 1;
    key.version += 1;
    if (outcome !== 'lost' && 'json' in outcome) {
      key.state = to;
      return;
    }
    const mayHave = outcome === 'lost' || excuses.has(outcome.error.code);
    if (mayHave) key.perhaps.add(to);
    // Of a deletion that may have begun to be cancelled, too.
    else if (key.perhaps.size === 0)
      this.#known.violated(`${name} of a key that is ${key.state}: ${outcome.error.code}`);
  }

  /** A call that needs the key enabled: refused when it certainly is not, and not refused when it certainly is. */
  async #use(key: KnownKey, name: string, input: Input): Promise<Readonly<Record<string, unknown>> | undefined> {
    const { state, version } = key;
    const isSure = (): boolean => key.perhaps.size === 0 && key.changing === 0 && key.version === version;
    const wasSure = isSure();
    const outcome = await this.call(name, input);
    if (outcome === 'lost') return undefined;
    const sure = wasSure && isSure();
    if ('json' in outcome) {
      if (sure && state !== 'Enabled') this.#known.violated(`${name} was served under a key that is ${state}`);
      return outcome.json;
    }
    const { code } = outcome.error;
    if (sure && state === 'Enabled' && !excuses.has(code))
      this.#known.violated(`${name} under an enabled key: ${code}`);
    return undefined;
  }

  #excused(name: string, outcome: Outcome): void {
    if (outcome !== 'lost' && 'error' in outcome && !excuses.has(outcome.error.code))
      this.#known.violated(`${name}: ${outcome.error.code} ${outcome.error.message}`);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#world.schedule.after(ms, resolve));
  }

  /** Waits for a gateway, and then for its answer. */
  async call(name: string, input: Input): Promise<Outcome> {
    let ready = this.#daemon.ready();
    for (; ready.length === 0; ready = this.#daemon.ready()) await this.#pause(50);
    return this.#callTo(this.#world.schedule.pick(ready), name, input);
  }

  #callTo(gateway: Gateway, name: string, input: Input): Promise<Outcome> {
    const { schedule } = this.#world;
    const { process } = gateway;
    return new Promise((resolve) => {
      process.onEnd(() => schedule.after(schedule.between(1, 50), () => resolve('lost')));
      schedule.after(patienceMs, () => resolve('lost'));
      process.after(schedule.between(0.1, 2), () => {
        gateway.call(name, input).then(
          (answer) => {
            if (!process.isAlive) return;
            this.#known.answered(name, changes.has(name), answer);
            process.after(schedule.between(0.1, 1), () => resolve(answer));
          },
          (error: unknown) => {
            if (process.isAlive) this.#known.violated(`${name} failed in the gateway: ${String(error)}`);
          },
        );
      });
    });
  }
}
