// A gateway of the simulated world: the real one on simulated ports, whose façade is a function.
import { partsOn, type Machine } from '../../src/compose.js';
import type { FromGateway, GatewayConfig } from '../../src/config/processes.js';

import type { Core } from '../../src/gateway/core.js';
import type { Gateway as RealGateway } from '../../src/gateway/gateway.js';
import { serve } from '../../src/gateway/life.js';
import type { BridgeError } from '../../src/kernel/errors.js';
import type { AnyOperation } from '../../src/operations/define.js';
import { operations } from '../../src/operations/index.js';
import type { Incoming } from '../../src/pipeline/incoming.js';
import { perform, type Line, type Outcome } from '../../src/pipeline/perform.js';
import type { Caller } from '../../src/ports/authenticator.js';
import { BoundAddresses } from '../../src/process/endpoint.js';
import type { Log } from '../../src/process/log.js';
import { inputReader, type InputReader } from '../../src/shapes/read.js';
import { json11, writer, type Writer } from '../../src/shapes/write.js';
import type { Structure } from '../../src/shapes/shape.js';
import { createRegionTokens, type RegionTokens } from '../../src/token/regions.js';
import type { Connect } from '../../src/token/client.js';
import type { Process } from './process.js';

export const account = '000000000000';
export const region = 'us-east-1';

export type Answer =
  | { readonly requestId: string; readonly json: Readonly<Record<string, unknown>> }
  | { readonly requestId: string; readonly error: BridgeError };

const caller: Caller = {
  principal: {
    type: 'Root',
    accountId: account,
    arn: `arn:aws:iam::${account}:root`,
    accessKeyId: 'AKIASIMULATION0000000',
  },
  region,
  service: 'kms',
};

interface Spoken {
  readonly operation: AnyOperation;
  readonly read: InputReader<Structure>;
  readonly write: Writer<object> | undefined;
}

const spoken: ReadonlyMap<string, Spoken> = new Map(
  [...operations.kms].map(([name, operation]) => [
    name,
    {
      operation,
      read: inputReader(operation.input),
      write: operation.output === 'nothing' ? undefined : writer(operation.output, json11),
    },
  ]),
);

function spokenOf(name: string): Spoken {
  const found = spoken.get(name);
  if (found === undefined) throw new Error(`there is no operation ${name}`);
  return found;
}

export interface GatewayOptions {
  readonly machine: Machine;
  readonly process: Process;
  readonly config: GatewayConfig;
  readonly connect: Connect;
  readonly log: Log;
  readonly tell: (message: FromGateway) => void;
}

export class Gateway {
  readonly process: Process;
  readonly tokens: RegionTokens;
  readonly lane: number;
  readonly #options: GatewayOptions;
  #line: Line | undefined;
  #real: RealGateway | undefined;

  constructor(options: GatewayOptions) {
    const { machine, process, config, connect, tell } = options;
    this.process = process;
    this.lane = config.lane;
    this.#options = options;
    this.tokens = createRegionTokens({
      keyStores: config.keyStores,
      deadlineMs: config.deadlines.tokenMs,
      clock: machine.clock,
      timers: machine.timers,
      connect,
      onWanted: (wanted) => tell({ type: 'token-wanted', ...wanted }),
      onOverrun: (hung) => tell({ type: 'token-overrun', ...hung }),
    });
  }

  get isReady(): boolean {
    return this.process.isAlive && this.#line !== undefined;
  }

  /** Of the gateway itself. */
  get real(): RealGateway {
    if (this.#real === undefined) throw new Error('the gateway is not open');
    return this.#real;
  }

  async start(): Promise<void> {
    const { machine, process, config, log, tell } = this.#options;
    const parts = partsOn(machine);
    const addresses = new BoundAddresses([], new Map(), machine.clock, log);
    const listen = (core: Core): Promise<{ drain: () => Promise<void> }> => {
      this.#line = core.line;
      return Promise.resolve({ drain: () => Promise.resolve() });
    };
    this.#real = await parts.open(config, this.tokens, log);
    const outside = { send: tell, exit: () => process.kill() };
    await serve({ ...parts, facades: [{ listen }] }, this.#real, addresses, outside);
  }

  /** One call, as the root user of the account. Never resolves when the process ends before. */
  async call(name: string, input: Readonly<Record<string, unknown>>): Promise<Answer> {
    if (this.#line === undefined) throw new Error('the gateway is not ready');
    const { operation, read, write } = spokenOf(name);
    const incoming: Incoming = {
      sourceIp: '192.0.2.1',
      userAgent: 'simulation',
      service: 'kms',
      operationName: name,
      bodyBytes: 300,
      authenticate: () => Promise.resolve(caller),
      proved: () => undefined,
      operation: () => operation,
      input: () => read(input, () => input),
      claimedKeyId: () => undefined,
    };
    const outcome: Outcome = await perform(this.#line, incoming);
    const { requestId } = outcome;
    if ('error' in outcome) return { requestId, error: outcome.error };
    return { requestId, json: JSON.parse(write?.(outcome.result) ?? '{}') as Record<string, unknown> };
  }
}
