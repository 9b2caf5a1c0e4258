declare module 'aws4' {
  interface Request {
    host: string;
    method: string;
    path: string;
    service: string;
    region: string;
    body: string;
    headers?: Record<string, string | number>;
  }
  const aws4: { sign(request: Request, credentials: { accessKeyId: string; secretAccessKey: string }): Request };
  export default aws4;
}
