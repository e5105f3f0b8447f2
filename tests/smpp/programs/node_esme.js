// An ESME of node-smpp that goes once through everything a talk has: node_esme.js PORT
const smpp = require("smpp");

const say = (event, fields = {}) => console.log(JSON.stringify({event, ...fields}));
const port = Number(process.argv[2]);

function connect(password, then) {
  const session = smpp.connect({url: `smpp://127.0.0.1:${port}`}, () => {
    session.bind_transceiver({system_id: "node", password}, (pdu) => {
      say("bound", {status: pdu.command_status, system_id: pdu.system_id,
        version: pdu.sc_interface_version});
      then(session, pdu);
    });
  });
  session.on("error", (error) => say("error", {error: String(error)}));
  session.on("close", () => say("close"));
  session.on("enquire_link", (pdu) => { say("asked"); session.send(pdu.response()); });
  session.on("deliver_sm", (pdu) => {
    const whole = pdu.short_message.message;
    say("deliver", {text: whole, coding: pdu.data_coding, from: pdu.source_addr,
      to: pdu.destination_addr, esm_class: pdu.esm_class});
    session.send(pdu.response());
  });
  session.on("unbind", (pdu) => { say("unbinding"); session.send(pdu.response()); session.close(); });
}

connect("wrong", (refused) => {
  refused.close();
  connect("secret", (session) => {
    const submit = (fields, then) => session.submit_sm({source_addr: "717100",
      destination_addr: "380971234567", registered_delivery: 1, ...fields}, (pdu) => {
      say("submitted", {status: pdu.command_status, id: pdu.message_id});
      then();
    });
    const unknown = () => {
      session.on("generic_nack", (pdu) => {
        say("nack", {status: pdu.command_status, sequence: pdu.sequence_number});
        session.enquire_link({}, (answer) => say("alive", {status: answer.command_status}));
      });
      session.socket.write(Buffer.from("00000010000101010000000000000063", "hex"));
    };
    submit({short_message: "hello"}, () =>
      submit({short_message: "Для подтверждения оплаты, отправьте ДА"}, () =>
        submit({short_message: "", message_payload: "long ".repeat(200)}, () =>
          submit({destination_addr: "1", short_message: "x"}, unknown))));
  });
});
