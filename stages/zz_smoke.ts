import { openLayerPool } from "./layer_pool.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import { quantizeLayer, type LayerJob } from "./layer.ts";
import { Stages } from "../runner/schema.ts";
import { packUpper } from "../kernels/triangle.ts";
import { decodeLayer } from "../kernels/decode.ts";
const stages = Stages.parse({ ...JSON.parse(Deno.args[0] ?? "{}") });
let s = 1; const rnd = () => { s = (Math.imul(s, 1664525) + 1013904223) >>> 0; return s / 2**32 - .5; };
const gauss = () => rnd()+rnd()+rnd()+rnd();
function hessian(n: number) { // correlated
  const k = 2*n; const x = new Float32Array(k*n); const mixv = Float32Array.from({length:n},()=>gauss());
  for (let i=0;i<k;i++){const g=gauss(); for(let j=0;j<n;j++) x[i*n+j]=(gauss()+g*mixv[j])*(1+ (j%7));}
  const h=new Float32Array(n*n); for(let i=0;i<n;i++)for(let j=i;j<n;j++){let t=0;for(let q=0;q<k;q+=4)t+=x[q*n+i]*x[q*n+j];h[i*n+j]=t;h[j*n+i]=t;}
  return packUpper(h,n);
}
const h576=hessian(576), h1536=hessian(1536);
const job=(name:string,rows:number,cols:number):LayerJob=>({name,rows,cols,weight:Float32Array.from({length:rows*cols},()=>gauss()*.05),upper:cols===576?h576.slice():h1536.slice(),keep:4,of:8,stages});
const make=()=>{s=7;return [job("q",576,576),job("k",192,576),job("v",192,576),job("o",576,576),job("gate",1536,576),job("up",1536,576),job("down",576,1536)];};
const digest=async(a:ArrayBufferView)=>new Uint8Array(await crypto.subtle.digest("SHA-256",a as never)).slice(0,4).join();
if (Deno.args[1]==="single") {
  const d=openCpuDevice({threads:Number(Deno.args[2]??1)});
  for (let i=0;i<2;i++) for (const j of make()) {const t=performance.now();const r=await quantizeLayer(d,j);console.log(r.name,r.error.toFixed(5),(performance.now()-t).toFixed(0)+"ms",JSON.stringify(r.seconds),await digest(r.layer.codes),await digest(r.layer.scales));}
  await d.destroy();
} else {
  const pool=openLayerPool({workers:Number(Deno.args[2]??2)});
  for(let i=0;i<3;i++){const jobs=make();const t=performance.now();const r=await pool.quantize(jobs);console.log("block",(performance.now()-t).toFixed(0)+"ms",r.map(x=>x.error.toFixed(4)).join(" "),await digest(r[6].layer.scales));}
  pool.close();
}
