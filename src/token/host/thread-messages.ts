// What a thread and the host's main thread say to each other beside requests and answers (shared-places.ts).
import type { MessagePort } from 'node:worker_threads';
import type { TokenInfo } from '../../model/token-key.js';
import type { ChosenToken } from './module.js';
import type { Profile } from './profile.js';
import type { Shared } from './shared-places.js';
import type { DescribedTrouble } from './trouble.js';

export interface ThreadData {
  readonly profile: Profile;
  readonly modulePath: string | undefined;
  readonly token: ChosenToken;
  readonly info: TokenInfo;
  readonly shared: Shared;
  /** Its number among the threads of `shared`. */
  readonly thread: number;
  /** To and from the main thread. Orders are heard before what was given after them. */
  readonly port: MessagePort;
}

/** Handles of the objects with a CKA_ID, in hex, as the index has them. */
export interface Hint {
  readonly ckaId: string;
  readonly handles: readonly string[];
  /** Of any object that the token had: by reading it the thread can tell whether the token is well. Undefined when it had none. */
  readonly one: string | undefined;
}

export type ThreadOrder =
  | { readonly type: 'hint'; readonly hint: Hint }
  /** The key is destroyed: the thread's copy goes, too. */
  | { readonly type: 'forget'; readonly ckaId: string }
  /** It is not needed any longer. */
  | { readonly type: 'end' };

export type ThreadNews =
  /** It has a session, and waits for requests. */
  | { readonly type: 'ready' }
  /** It must know the handles first; nothing has been done. `search`: in the token, if the index does not know them. */
  | { readonly type: 'ask'; readonly ckaId: string; readonly search: boolean }
  /** Of a key that it has made. */
  | { readonly type: 'made'; readonly ckaId: string; readonly handle: string }
  /** Handles of the key are no longer any. */
  | { readonly type: 'gone'; readonly ckaId: string }
  /** Its session was replaced: handles may be no longer any. */
  | { readonly type: 'session-replaced' }
  | { readonly type: 'trouble'; readonly trouble: DescribedTrouble }
  /** The thread has ended. `isToken`: the token is lost; else the thread alone, for want of a session. */
  | { readonly type: 'lost'; readonly isToken: boolean; readonly trouble: DescribedTrouble };
