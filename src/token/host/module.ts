// The token in the vendor's library: chosen by label (and serial), never by a slot's index, which changes.
import graphene from 'graphene-pk11';
import pkcs11 from 'pkcs11js';
import { ckrName } from './ckr.js';
import { StartFault } from './fault.js';
import { neededMechanisms } from './kinds.js';
import { loadLibrary } from './library.js';
import type { Profile } from './profile.js';

/** The library, twice: raw for calls, and graphene's view of its slots and tokens. */
export interface LoadedModule {
  readonly pkcs11: pkcs11.PKCS11;
  readonly slots: graphene.Module;
}

export interface ChosenToken {
  readonly slot: Buffer;
  readonly label: string;
  readonly serial: string;
  /** CK_TOKEN_INFO.flags as they were before anybody logged in. */
  readonly flags: number;
}

/** StartFault where there is none that loads. `modulePath` replaces the profile's list. */
export function loadModule(profile: Profile, modulePath: string | undefined): LoadedModule {
  const library = loadLibrary(profile, modulePath);
  return { pkcs11: library, slots: new graphene.Module(library) };
}

/** Undefined when no token has the label. StartFault when two have it, or when none has and one could not be asked. */
export function findToken(module: LoadedModule, label: string, serial: string | null): ChosenToken | undefined {
  const { tokens, silent } = tokensOf(module);
  const [first, second] = tokens.filter(
    (token) => token.label === label && (serial === null || token.serial === serial),
  );
  if (first === undefined && silent.length > 0) {
    const message = `no token is labelled ${label}, but ${silent.length} slot(s) did not say what they hold (${silent.join(', ')})`;
    throw new StartFault('token-missing', `${message}: look at the device`);
  }
  if (second !== undefined) {
    throw new StartFault('token-missing', `more than one token is labelled ${label}: give the serial in the profile`);
  }
  return first;
}

/** The slot of a token that nobody has initialised. */
export function findBlankSlot(module: LoadedModule): Buffer | undefined {
  return tokensOf(module).tokens.find((token) => (token.flags & pkcs11.CKF_TOKEN_INITIALIZED) === 0)?.slot;
}

/** `silent`: what slots answered that could not say which token they hold. One such slot does not keep the others from being used: it need not be ours. */
function tokensOf(module: LoadedModule): { tokens: ChosenToken[]; silent: string[] } {
  const slots = module.slots.getSlots(true);
  const tokens: ChosenToken[] = [];
  const silent: string[] = [];
  for (let index = 0; index < slots.length; index++) {
    const slot = slots.items(index);
    try {
      const token = slot.getToken();
      tokens.push({
        slot: slot.handle,
        label: unpadded(token.label),
        serial: unpadded(token.serialNumber),
        flags: token.flags,
      });
    } catch (error) {
      silent.push(ckrName(error) ?? 'no return value');
    }
  }
  return { tokens, silent };
}

/** StartFault `configuration` when the token lacks a mechanism the daemon's operations need. */
export function requireMechanisms(module: LoadedModule, slot: Buffer): void {
  const listed = new Set(module.pkcs11.C_GetMechanismList(slot));
  const missing = neededMechanisms.filter(([, type]) => !listed.has(type)).map(([name]) => name);
  if (missing.length > 0) {
    throw new StartFault(
      'configuration',
      `the token does not offer ${missing.join(', ')}: it cannot serve this daemon`,
    );
  }
}

/** Gives the token back what this process holds of it: its sessions and its login. Only for an orderly end. */
export function finalize(module: LoadedModule): void {
  try {
    module.pkcs11.C_Finalize();
  } catch {
    // The process ends right after: there is nothing left to protect, and nobody to tell.
  }
}

/** Blank padding (PKCS#11 §3.2), or the NULs some libraries leave. */
function unpadded(text: string): string {
  return text.replace(/[\0 ]+$/, '');
}
