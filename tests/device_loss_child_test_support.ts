/**
 * The command line on a GPU that is lost: once a step is finished, the device is destroyed with the next commands that are
 * sent to it, as by a driver that crashes.
 *
 * Its first argument is that step, the rest are the command line's.
 */
import { main } from "../cli/main.ts";
import { openTerminal } from "../cli/terminal.ts";

const [step, ...args] = Deno.args;
const devices: GPUDevice[] = [];
let armed = false;

const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const device = await request.call(this, descriptor);
  devices.push(device);
  return device;
};
const submit = GPUQueue.prototype.submit;
GPUQueue.prototype.submit = function (commands) {
  submit.call(this, commands);
  if (armed) devices.forEach((device) => device.destroy());
};

const terminal = openTerminal({ json: true });
const line = (text = "") => {
  armed ||= text.includes('"type":"step-finished"') && text.includes(`"step":"${step}"`);
  terminal.line(text);
};
Deno.exit(await main(args, { ...terminal, line }));
