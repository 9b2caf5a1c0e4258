// Reads the configuration: a YAML file for `serve`, the environment for `dev`. The only place that sees the process's environment.
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { z } from 'zod';
import { defaultKeyStore, type KeyStoreRef } from '../model/key-store.js';
import { ConfigurationError, type DaemonConfig, type KeyStoreConfig } from './daemon.js';
import {
  development,
  environmentSchema,
  fileSchema,
  type Settings,
  settingsOf,
  settingsSchema,
  type TokenSettings,
} from './schema.js';

/** The folder of package.json, native-config/ and softhsm.conf. */
export const packageRoot = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

type Environment = Readonly<Record<string, string | undefined>>;

/** Configuration of development mode. Throws ConfigurationError. */
export function loadDevelopment(environment: Environment = process.env, cwd: string = process.cwd()): DaemonConfig {
  const set = Object.entries(environment).filter(
    // A shell that has sourced dev.env has this one too, which is for clients.
    ([name, value]) => name.startsWith('HSM_BRIDGE_') && name !== 'HSM_BRIDGE_ADMIN_URL' && value !== '',
  );
  const variables = checked(environmentSchema.safeParse(Object.fromEntries(set)), 'environment');
  const settings = placed(checked(settingsSchema.safeParse(settingsOf(variables)), 'environment'), cwd);
  const keyStores = development.regions.map((region) => developmentRegion(settings.home, region));
  return { ...settings, mode: 'dev', keyStores };
}

/** Its paths absolute: they start at `folder`. */
function placed(settings: Settings, folder: string): Settings {
  const { home, listen } = settings;
  const { socket, tls } = listen;
  const at = (path: string): string => resolve(folder, path);
  return {
    ...settings,
    home: at(home),
    listen: {
      ...listen,
      socket: socket === undefined ? undefined : at(socket),
      tls: tls === undefined ? undefined : { certificate: at(tls.certificate), key: at(tls.key) },
    },
  };
}

/** The home of development mode, absolute. Throws ConfigurationError. */
export function developmentHome(environment: Environment = process.env, cwd: string = process.cwd()): string {
  const { HSM_BRIDGE_HOME } = environmentSchema.shape;
  const set = environment['HSM_BRIDGE_HOME'];
  return resolve(cwd, checked(HSM_BRIDGE_HOME.safeParse(set === '' ? undefined : set), 'environment'));
}

/** Configuration from a file (docs/configuration.md). Throws ConfigurationError. */
export async function loadFile(file: string): Promise<DaemonConfig> {
  const { regions, ...rest } = checked(fileSchema.safeParse(await readYaml(file)), file);
  const folder = dirname(resolve(file));
  const settings = placed(rest, folder);
  return {
    ...settings,
    mode: 'serve',
    keyStores: Object.entries(regions).flatMap(([region, { keyStores, ...own }]) => [
      keyStoreConfig({ region, keyStore: undefined }, own, settings.home, folder),
      ...keyStores.map(({ name, ...of }) => keyStoreConfig({ region, keyStore: name }, of, settings.home, folder)),
    ]),
  };
}

/** Paths start at `folder`. */
function keyStoreConfig(
  keyStore: KeyStoreRef,
  { profile, modulePath, label, pinFile, environment }: TokenSettings,
  home: string,
  folder: string,
): KeyStoreConfig {
  return {
    ...keyStore,
    environment,
    softhsm: undefined,
    tokenHost: {
      ...keyStore,
      profilePath: profilePath(profile, folder),
      modulePath: modulePath === undefined ? undefined : resolve(folder, modulePath),
      tokenLabel: label,
      pinFile: resolve(folder, pinFile),
      notesFolder: notesFolder(home),
      socketPath: socketPath(keyStore),
      provision: undefined,
    },
  };
}

/** What a token host has before its own settings: no AWS_* variable, and in service nothing by which Node loads more code. */
export function tokenHostEnvironment(mode: DaemonConfig['mode']): Readonly<Record<string, string>> {
  const kept = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];
  if (mode === 'dev') kept.push('NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS');
  return Object.fromEntries(
    kept.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** Leaves this process, and so its children, with the environment of a token host, which it returns. */
export function reduceEnvironment(mode: DaemonConfig['mode']): Readonly<Record<string, string>> {
  const left = tokenHostEnvironment(mode);
  for (const name of Object.keys(process.env)) {
    if (!Object.hasOwn(left, name)) Reflect.deleteProperty(process.env, name);
  }
  return left;
}

function developmentRegion(home: string, region: string): KeyStoreConfig {
  const folder = join(home, 'tokens', region);
  const keyStore = defaultKeyStore(region);
  return {
    ...keyStore,
    environment: { SOFTHSM2_CONF: join(folder, 'softhsm2.conf') },
    softhsm: { folder, templatePath: join(packageRoot, 'softhsm.conf') },
    tokenHost: {
      ...keyStore,
      profilePath: profilePath('softhsm2', packageRoot),
      modulePath: undefined,
      tokenLabel: `hsm-bridge ${region}`,
      pinFile: join(folder, 'user.pin'),
      notesFolder: notesFolder(home),
      socketPath: socketPath(keyStore),
      provision: { soPinFile: join(folder, 'so.pin') },
    },
  };
}

/** No Region's name has a dot. */
const socketPath = ({ region, keyStore }: KeyStoreRef): string =>
  keyStore === undefined ? `${region}.sock` : `${region}.${keyStore}.sock`;

const notesFolder = (home: string): string => join(home, 'pins');

function profilePath(profile: string, folder: string): string {
  return profile.includes('/') ? resolve(folder, profile) : join(packageRoot, 'native-config', `${profile}.json`);
}

async function readYaml(file: string): Promise<unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigurationError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
  }
  // Imported when it is needed: in development mode the supervisor does without its memory.
  const { parseDocument } = await import('yaml');
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem !== undefined) throw new ConfigurationError(`${file}: ${problem.message.split('\n')[0] ?? ''}`);
  try {
    return document.toJS() as unknown;
  } catch {
    // Aliases that expand to more than the parser allows.
    throw new ConfigurationError(`${file}: too many YAML aliases`);
  }
}

function checked<T>(result: z.ZodSafeParseResult<T>, source: string): T {
  if (result.success) return result.data;
  const [first, ...others] = result.error.issues.map(issueLine);
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  throw new ConfigurationError(`${source}: ${first ?? 'not valid'}${more}`);
}

/** `regions.eu-west-1.label: expected string, received number`: never the value, which may be a secret in the wrong place. */
function issueLine(issue: z.core.$ZodIssue): string {
  const place = issue.path.map(String);
  if (issue.code === 'unrecognized_keys')
    return `${[...place, issue.keys[0] ?? ''].join('.')}: there is no such setting`;
  if (issue.code === 'invalid_key') {
    return `${place.join('.')}: ${issue.issues[0]?.message ?? issue.message}`;
  }
  if (place.length === 0) return 'a mapping of settings is needed';
  const missing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
  return `${place.join('.')}: ${missing ? 'this setting is needed' : issue.message.replace(/^Invalid input: /, '')}`;
}
