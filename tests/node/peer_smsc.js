// An SMSC that nobody of ppcd wrote: node-smpp answers the bind, takes submits, sends receipts, and
// its phone answers the first text with ДА. One line of JSON for each thing that happens.
const smpp = require('smpp');
const say = (what) => console.log(JSON.stringify(what));
let submits = 0;
let answered = false;
const server = smpp.createServer((session) => {
  session.on('error', (error) => say({ what: 'error', why: String(error) }));
  session.on('bind_transceiver', (pdu) => {
    say({ what: 'bind', system_id: pdu.system_id });
    session.send(pdu.response({ system_id: 'peer', sc_interface_version: 0x34 }));
  });
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    say({ what: 'unbind' });
    session.send(pdu.response(), () => session.close());
  });
  session.on('submit_sm', (pdu) => {
    const id = String(++submits);
    const text = pdu.short_message.message;
    say({
      what: 'submit', text: String(text), from: pdu.source_addr, to: pdu.destination_addr,
      validity: String(pdu.validity_period), udh: pdu.short_message.udh !== undefined,
      receipt: pdu.registered_delivery,
    });
    session.send(pdu.response({ message_id: id }));
    session.deliver_sm({
      source_addr: pdu.destination_addr, destination_addr: pdu.source_addr,
      source_addr_ton: 1, source_addr_npi: 1, esm_class: 4,
      short_message: Buffer.from(
        `id:${id} sub:001 dlvrd:001 submit date:2611231200 done date:2611231200 stat:DELIVRD err:000 text:`),
    }, (response) => say({ what: 'receipt answered', status: response.command_status }));
    if (!answered) {
      answered = true;
      session.deliver_sm({
        source_addr: pdu.destination_addr, destination_addr: pdu.source_addr,
        source_addr_ton: 1, source_addr_npi: 1, data_coding: 8,
        short_message: Buffer.from('04140410', 'hex'),
      }, (response) => say({ what: 'reply answered', status: response.command_status }));
    }
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => say({ what: 'listening' }));
