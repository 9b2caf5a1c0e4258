// What a policy allows or denies: an action of a service's API, as policies name it.

export type Permission = `kms:${string}`;
