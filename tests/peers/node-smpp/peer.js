// An SMPP peer on node's `smpp`, driven by a test: one JSON object a line, in and out.
//   node peer.js smsc '{"port":0,"host":…,"first":…,"answers":…}'  listens, says {"event":"listening","port":…}
//   node peer.js esme '{"port":…,"bind":"transceiver","system_id":…,"password":…,"ca":…}'  dials until somebody listens
// In:  {"send":"submit_sm","fields":{…}} on the newest session; {"hold":["submit_sm",…]} answers no more of these by
//      itself; {"answer":SEQUENCE,"fields":{…}} does, perhaps with "session"; {"destroy":true} cuts the connection;
//      for an smsc {"refuse":STATUS} for later binds
// Out: every PDU that comes, as {"event":COMMAND,…its fields…}. {"hex":…} stands for octets.
'use strict';
const fs = require('fs');
const readline = require('readline');
const smpp = require('smpp');

const [role, given] = process.argv.slice(2);
const config = JSON.parse(given);
const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');
let hold = [];
let refuse = 0;
let count = config.first || 0xa0;  // ids of what it takes
let answers = config.answers ?? Infinity;  // to submits; then it is silent
let session = null;
const waiting = new Map();
const sessions = new Map();

function plain(value) {
  if (Buffer.isBuffer(value)) return { hex: value.toString('hex') };
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Date) return value.toISOString();
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}

function real(value) {
  if (value && typeof value === 'object') {
    if ('hex' in value) return Buffer.from(value.hex, 'hex');
    if (Array.isArray(value)) return value.map(real);
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, real(v)]));
  }
  return value;
}

function serve(peer) {
  session = peer;
  const me = `s${++serve.count}`;
  sessions.set(me, peer);
  peer.on('pdu', (pdu) => {
    say({ session: me, event: pdu.command, ...plain(pdu) });
    if (pdu.isResponse()) return;
    if (pdu.command === 'submit_sm' && answers-- <= 0) return;
    if (hold.includes(pdu.command)) return void waiting.set(`${me}:${pdu.sequence_number}`, pdu);
    const fields = {};
    if (pdu.command.startsWith('bind_')) {
      fields.system_id = 'node';
      if (refuse) fields.command_status = refuse;
    }
    if (pdu.command === 'submit_sm') fields.message_id = (count++).toString(16);
    if (pdu.command !== 'alert_notification') peer.send(pdu.response(fields));
    if (pdu.command === 'unbind') peer.close();
  });
  peer.on('close', () => say({ session: me, event: 'closed' }));
  peer.on('error', (error) => say({ session: me, event: 'error', code: error.code || error.message }));
}
serve.count = 0;

if (role === 'smsc') {
  const tls = config.key ? { key: fs.readFileSync(config.key), cert: fs.readFileSync(config.cert) } : {};
  const server = smpp.createServer(tls, serve);
  server.listen(config.port, config.host || '127.0.0.1', () => say({ event: 'listening', port: server.address().port }));
} else {
  const tls = config.ca ? { tls: true, ca: fs.readFileSync(config.ca), checkServerIdentity: () => undefined } : {};
  const dial = () => {
    const peer = smpp.connect({ host: '127.0.0.1', port: config.port, localAddress: config.from, ...tls }, () => {
      peer[`bind_${config.bind}`]({ system_id: config.system_id, password: config.password });
    });
    peer.on('error', (error) => error.code === 'ECONNREFUSED' && setTimeout(dial, 100));
    serve(peer);
  };
  dial();
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line);
  if (order.hold) {
    hold = order.hold;
    say({ event: 'held' });
  }
  if ('refuse' in order) refuse = order.refuse;
  if (order.send) session.send(new smpp.PDU(order.send, real(order.fields)));
  if (order.answer) {
    const me = order.session || `s${serve.count}`;
    sessions.get(me).send(waiting.get(`${me}:${order.answer}`).response(real(order.fields || {})));
  }
  if (order.destroy) session.destroy();
}).on('close', () => process.exit(0));
