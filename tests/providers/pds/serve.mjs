// A directory of accounts in memory, and a PDS in a folder, until the input ends:
// node --input-type=module --eval "$(cat serve.mjs)" FOLDER DIRECTORY_PORT PDS_PORT
import { createServer } from "node:http";
import plc from "@did-plc/server";
import { PDS, envToCfg, envToSecrets } from "@atproto/pds";

const [folder, directoryPort, port] = process.argv.slice(1);

// Both would listen to the whole network.
const onlyHere = (app) => {
  app.listen = (where) => createServer(app).listen(where, "127.0.0.1");
};

const directory = plc.PlcServer.create({ db: plc.Database.mock(), port: Number(directoryPort) });
onlyHere(directory.app);
await directory.start();

const settings = {
  hostname: "localhost",
  port: Number(port),
  dataDirectory: folder,
  blobstoreDiskLocation: `${folder}/blobs`,
  didPlcUrl: `http://127.0.0.1:${directoryPort}`,
  enableDidDocWithSession: true,
  inviteRequired: false,
  rateLimitsEnabled: true,
  devMode: true,
  disableSsrfProtection: true,
  crawlers: [],
  dpopSecret: "0".repeat(64),
  jwtSecret: "1".repeat(32),
  adminPassword: "for tests only",
  plcRotationKeyK256PrivateKeyHex: "2".repeat(64),
};
const pds = await PDS.create(envToCfg(settings), envToSecrets(settings));
onlyHere(pds.app);
await pds.start();
process.stdin.on("end", () => process.exit()).resume();
console.log("ready");
