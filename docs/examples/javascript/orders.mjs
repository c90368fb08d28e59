// Publishes orders and takes them: confirms, acknowledgements by hand, and a queue for what nobody can take.
//
//     node orders.mjs consume 100
//     node orders.mjs publish 100
//
// `npm install amqplib` before. AMQP_URI says where the broker is.

import amqp from "amqplib";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

const URI = process.env.AMQP_URI ?? "amqp://guest:guest@127.0.0.1:5672";
const QUEUE = "orders";
const REJECTED = "orders.rejected";

// Both sides declare: whoever comes first makes the queues, the other one finds the same.
async function declare(channel) {
  await channel.assertQueue(REJECTED, { durable: true });
  await channel.assertQueue(QUEUE, {
    durable: true,
    deadLetterExchange: "",
    deadLetterRoutingKey: REJECTED,
  });
}

async function publish(count) {
  const connection = await amqp.connect(URI);
  const channel = await connection.createConfirmChannel();
  await declare(channel);
  // No queue takes it. The broker confirms it all the same, after this.
  channel.on("return", (message) => {
    throw new Error(`no queue for ${message.content}`);
  });
  for (let number = 1; number <= count; number++) {
    const order = `order ${number}: ${number % 10} pieces`;
    const more = channel.sendToQueue(QUEUE, Buffer.from(order), { persistent: true, mandatory: true }, (refused) => {
      if (!refused) console.log("confirmed", order);
    });
    if (!more) await once(channel, "drain");
  }
  // Rejects if the broker refused one. If the connection is lost before, nobody knows of those that are not confirmed whether
  // the broker has them: publish them again, and let consumers expect them twice.
  await channel.waitForConfirms();
  await connection.close();
}

async function consume(count) {
  const todo = { left: count };
  while (todo.left > 0) {
    try {
      await take(todo);
    } catch (lost) {
      // What was delivered and not acknowledged is in the queue again.
      console.error("connection lost:", lost.message);
      await sleep(1000);
    }
  }
}

async function take(todo) {
  const connection = await amqp.connect(URI);
  const ended = new Promise((_, reject) => {
    connection.on("error", reject);
    connection.on("close", () => reject(new Error("closed")));
  });
  const channel = await connection.createChannel();
  // The connection tells of it too.
  channel.on("error", () => {});
  await declare(channel);
  await channel.prefetch(50);
  const done = new Promise((resolve, reject) => {
    channel.consume(QUEUE, (message) => {
      if (message === null) return reject(new Error("the queue was deleted"));
      if (todo.left === 0) return;
      settle(channel, message);
      if (--todo.left === 0) resolve();
    }).then(() => console.log("waiting"), reject);
  });
  await Promise.race([done, ended]);
  await channel.close();
  ended.catch(() => {});
  await connection.close();
}

function settle(channel, message) {
  const order = message.content.toString();
  if (order.endsWith(": 0 pieces")) {
    channel.reject(message, false);
    console.log("rejected", order);
  } else {
    // Only when the work is done: whoever dies before gets it again.
    channel.ack(message);
    console.log("took", order);
  }
}

await { publish, consume }[process.argv[2]](Number(process.argv[3]));
