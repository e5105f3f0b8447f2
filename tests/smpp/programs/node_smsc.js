// An SMSC of node-smpp, told what to do by the texts that are submitted to it.
const smpp = require("smpp");

const say = (event, fields = {}) => console.log(JSON.stringify({event, ...fields}));
const ya = Buffer.from("ДА", "utf16le").swap16();
let throttled = false;
let made = 0;

smpp.addTLV("vendor_1403", {id: 0x1403, type: smpp.types.tlv.buffer});

function message(session, fields) {
  session.deliver_sm({source_addr_ton: 1, source_addr_npi: 1, source_addr: "380971234567",
    destination_addr: "717100", ...fields}, (answer) =>
    say("delivered", {status: answer.command_status, sequence: answer.sequence_number,
      length: answer.command_length}));
}

const receipt = (session, id) => message(session, {esm_class: 4, data_coding: 0,
  short_message: Buffer.from(`id:${id} sub:001 dlvrd:001 submit date:2611230910 ` +
    "done date:2611230910 stat:DELIVRD err:000 text:")});

const acts = {
  mo: (session) => message(session, {data_coding: 8, short_message: ya}),
  ussd: (session) => message(session, {data_coding: 8, short_message: ya, ussd_service_op: 18,
    its_session_info: Buffer.from([1, 3]), user_message_reference: 77}),
  vendor: (session) => message(session, {data_coding: 8, short_message: ya,
    vendor_1403: Buffer.from([0xff, 0])}),
  payload: (session) => message(session, {data_coding: 8, short_message: "",
    message_payload: Buffer.concat(Array(300).fill(ya))}),
  enquire: (session) => session.enquire_link({}, () => say("alive")),
  unknown: (session) => session.socket.write(Buffer.from("00000010000101010000000000000009", "hex")),
  unbind: (session) => session.unbind({}, () => { say("unbound"); session.close(); }),
  cut: (session) => { session.socket.write(Buffer.from("0000004000000005", "hex"));
    session.socket.destroy(); },
  flood: (session) => { for (let n = 0; n < 500; n++) acts.mo(session); },
};

function bind(session, pdu) {
  const right = pdu.password === "secret";
  say("bind", {kind: pdu.command, system_id: pdu.system_id, version: pdu.interface_version});
  session.send(pdu.response({command_status: right ? 0 : smpp.ESME_RINVPASWD, system_id: "node",
    ...(right ? {sc_interface_version: 0x34} : {})}));
}

const server = smpp.createServer((session) => {
  let deaf = false;
  session.on("error", (error) => say("error", {error: String(error)}));
  session.on("close", () => say("close"));
  for (const kind of ["bind_transceiver", "bind_transmitter", "bind_receiver"])
    session.on(kind, (pdu) => bind(session, pdu));
  session.on("enquire_link", (pdu) => { if (!deaf) session.send(pdu.response()); });
  session.on("unbind", (pdu) => { session.send(pdu.response()); session.close(); });
  session.on("generic_nack", (pdu) =>
    say("nack", {status: pdu.command_status, sequence: pdu.sequence_number}));
  session.on("submit_sm", (pdu) => {
    const whole = pdu.short_message.message;
    const text = Buffer.isBuffer(whole) ? whole.toString("hex") : whole;
    say("submit", {text, coding: pdu.data_coding, esm_class: pdu.esm_class, from: pdu.source_addr,
      to: pdu.destination_addr, validity: String(pdu.validity_period), udh: pdu.short_message.udh ?
        pdu.short_message.udh.length : 0,
      payload: pdu.message_payload ? pdu.message_payload.message.length : 0});
    if (text === "deaf") { deaf = true; return; }
    if (text === "refuse")
      return session.send(pdu.response({command_status: smpp.ESME_RINVDSTADR}));
    if (text === "throttle" && !throttled) {
      throttled = true;
      return session.send(pdu.response({command_status: smpp.ESME_RTHROTTLED}));
    }
    const id = `node-${++made}`;
    if (text === "early receipt") receipt(session, id);
    session.send(pdu.response({message_id: id}));
    if (text === "late receipt") receipt(session, id);
    if (acts[text]) acts[text](session);
  });
});
server.listen(0, "127.0.0.1", () => say("listening", {port: server.address().port}));
