// A real redis-server on a free port of this machine, with its data in a folder, so that it can be
// restarted.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface RedisServer {
  readonly port: number;
  /** Address with the password, if there is one. */
  readonly address: string;
  /** Ends the server and starts it again on the same port with the same data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** @param folder for its append-only file; exists */
export async function startRedis(folder: string, password?: string): Promise<RedisServer> {
  const port = await freePort();
  let server = await start(port, folder, password);
  const stop = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill("SIGTERM");
    await once(server, "exit");
  };
  return {
    port,
    address: `redis://${password === undefined ? "" : `:${password}@`}127.0.0.1:${port}`,
    async restart() {
      await stop();
      server = await start(port, folder, password);
    },
    stop,
  };
}

async function start(port: number, folder: string, password?: string): Promise<ChildProcess> {
  const server = spawn(
    "redis-server",
    [
      ...["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder],
      ...["--save", "", "--appendonly", "yes"],
      ...(password === undefined ? [] : ["--requirepass", password]),
    ],
    { stdio: "ignore" },
  );
  const failed = once(server, "error").then(([error]) => {
    throw error;
  });
  for (let tries = 0; tries < 300; tries++) {
    if (await Promise.race([failed, answers(port)])) return server;
    if (server.exitCode !== null) throw new Error(`redis-server ended with ${server.exitCode}`);
    await sleep(100);
  }
  throw new Error("redis-server does not answer");
}

/** Whether it is up; one with a password answers too. */
async function answers(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    socket.write("PING\r\n");
    const [answer] = await once(socket, "data");
    return /^(\+PONG|-NOAUTH)/.test(String(answer));
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
