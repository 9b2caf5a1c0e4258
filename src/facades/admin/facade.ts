// The admin port, where this gateway has it.
import type { Timers } from '../../kernel/timers.js';
import type { Addresses, Facade } from '../../ports/facade.js';
import { type AdminOptions, createAdminServer } from './server.js';

export interface AdminCore {
  readonly addresses: Addresses;
  readonly timers: Timers;
  /** Undefined: another gateway has the admin port. */
  readonly health: AdminOptions | undefined;
}

export const admin: Facade<AdminCore> = {
  async listen({ addresses, timers, health }) {
    if (health === undefined) return undefined;
    const server = createAdminServer(health, timers);
    await addresses.open(server, 'admin', undefined);
    return server;
  },
};
