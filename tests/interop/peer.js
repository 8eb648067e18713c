// A program of other make at the other end of our topics: sends what it reads on stdin, prints what it receives.
//
// kafkajs, for it is what the source system's services are written with. Its 2.2.4 is of 2023 and works with Kafka 4.3:
// of each request it offers a version that Kafka 4 still takes.
//
//   node peer.js BROKERS GROUP TOPIC-TO-READ TOPIC-TO-WRITE
//
// A line on stdin is a record's value, sent without key and headers. A line on stdout is a record received, as JSON;
// reading begins at the oldest one. It ends when stdin does.
const readline = require('node:readline');
const { Kafka, logLevel } = require('kafkajs');

const [brokers, groupId, reads, writes] = process.argv.slice(2);
const kafka = new Kafka({
  clientId: 'interop',
  brokers: brokers.split(','),
  logLevel: logLevel.WARN,
  logCreator: () => ({ log }) => console.error(log.timestamp, log.message, log.error ?? ''),
});

const text = (bytes) => bytes?.toString() ?? null;
const texts = (headers) => Object.fromEntries(Object.entries(headers).map(([name, bytes]) => [name, text(bytes)]));

async function main() {
  const producer = kafka.producer();
  const consumer = kafka.consumer({ groupId });
  await Promise.all([producer.connect(), consumer.connect()]);
  await consumer.subscribe({ topic: reads, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message: { key, headers, offset, value } }) => {
      const record = { partition, offset, key: text(key), headers: texts(headers), value: text(value) };
      console.log(JSON.stringify(record));
    },
  });
  for await (const value of readline.createInterface({ input: process.stdin })) {
    await producer.send({ topic: writes, messages: [{ value }] });
  }
  await Promise.all([producer.disconnect(), consumer.disconnect()]);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
