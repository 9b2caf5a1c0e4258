// The admin port, where this gateway has it.
import type { Timers } from '../../kernel/timers.js';
import type { Addresses, Facade } from '../../ports/facade.js';
import type { AdminOptions } from './server.js';

export interface AdminCore {
  readonly addresses: Addresses;
  readonly timers: Timers;
  /** Undefined: another gateway has the admin port. */
  readonly health: AdminOptions | undefined;
}

export const admin: Facade<AdminCore> = {
  async listen({ addresses, timers, health }) {
    if (health === undefined) return undefined;
    // Express is for the one gateway that has the port: the others neither wait for it nor keep it in memory.
    const { createAdminServer } = await import('./server.js');
    const server = createAdminServer(health, timers);
    await addresses.open(server, 'admin', undefined);
    return server;
  },
};
