// Makes a token where there is none, for development. The PINs are on disk before the token knows them, and each step looks at what
// is there first: a provisioning killed anywhere is finished by the next one.
import { existsSync } from 'node:fs';
import pkcs11 from 'pkcs11js';
import { writeDurably } from '../../kernel/durable-file.js';
import type { Random } from '../../kernel/random.js';
import { StartFault } from './fault.js';
import { login, readPin } from './login.js';
import { findBlankSlot, findToken, type ChosenToken, type LoadedModule } from './module.js';
import type { Profile } from './profile.js';

export interface Provisioning {
  readonly tokenLabel: string;
  readonly pinFile: string;
  readonly soPinFile: string;
  /** For the notes about the security officer's logins. */
  readonly notesFolder: string;
  readonly region: string;
}

/** CK_TOKEN_INFO.label (PKCS#11 v2.40 §3.3). */
const labelBytes = 32;
/** 128 bits, in hexadecimal. */
const pinCharacters = 32;

export function provision(module: LoadedModule, plan: Provisioning, profile: Profile, random: Random): void {
  for (const step of provisioningSteps(module, plan, profile, random)) step();
}

/** In this order, each of them any number of times; after the last one the token is labelled and has the user PIN of its file. */
export function provisioningSteps(
  module: LoadedModule,
  plan: Provisioning,
  profile: Profile,
  random: Random,
): readonly (() => void)[] {
  const token = (): ChosenToken | undefined => findToken(module, plan.tokenLabel, profile.tokenSelector.serial);
  return [
    () => {
      if (!hasUserPin(token())) drawPin(plan.soPinFile, profile, random);
    },
    () => {
      if (!hasUserPin(token())) drawPin(plan.pinFile, profile, random);
    },
    () => {
      if (token() === undefined) initToken(module, plan, profile);
    },
    () => {
      const made = token();
      if (made !== undefined && !hasUserPin(made)) initUserPin(module, made, plan, profile);
    },
  ];
}

function hasUserPin(token: ChosenToken | undefined): boolean {
  return token !== undefined && (token.flags & pkcs11.CKF_USER_PIN_INITIALIZED) !== 0;
}

function drawPin(file: string, profile: Profile, random: Random): void {
  if (existsSync(file)) return;
  const pin = random.bytes(pinCharacters).toString('hex').slice(0, Math.min(pinCharacters, profile.pin.maxBytes));
  try {
    writeDurably(file, `${pin}\n`);
  } catch (error) {
    throw new StartFault('pin-file', `the PIN file ${file} cannot be written`, { cause: error });
  }
}

function initToken(module: LoadedModule, plan: Provisioning, profile: Profile): void {
  const length = Buffer.byteLength(plan.tokenLabel);
  if (length < 1 || length > labelBytes) {
    throw new StartFault('configuration', `a token's label has 1 to ${labelBytes} bytes`);
  }
  const slot = findBlankSlot(module);
  if (slot === undefined) {
    const message = `no token is labelled ${plan.tokenLabel}, and no slot has a blank token to make it of`;
    throw new StartFault('token-missing', message);
  }
  // The library reads 32 bytes wherever the label ends: it is padded here, or it would read what lies behind.
  module.pkcs11.C_InitToken(
    slot,
    readPin(plan.soPinFile, profile).reveal(),
    plan.tokenLabel + ' '.repeat(labelBytes - length),
  );
}

function initUserPin(module: LoadedModule, token: ChosenToken, plan: Provisioning, profile: Profile): void {
  const library = module.pkcs11;
  const session = library.C_OpenSession(token.slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
  try {
    const { soPinFile: pinFile, notesFolder, region } = plan;
    login(library, session, token, { as: 'security-officer', pinFile, notesFolder, region, ours: true }, profile);
    library.C_InitPIN(session, readPin(plan.pinFile, profile).reveal());
  } finally {
    // The last session of the process takes the security officer's login with it.
    library.C_CloseSession(session);
  }
}
