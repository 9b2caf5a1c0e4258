// The services whose APIs are served, each by the name that a signature's scope and a record's eventSource have for it.

export type Service = 'kms';
