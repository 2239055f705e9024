"""Fetches one entry of each kind from moto through the C ABI, publishes it, and reads it: a first sight, not a test yet."""
import re,json,os,time,sys,tempfile,logging
from cffi import FFI
os.environ.update(AWS_ACCESS_KEY_ID="made-up",AWS_SECRET_ACCESS_KEY="made-up",AWS_SESSION_TOKEN="made-up",AWS_REGION="eu-west-1",AWS_EC2_METADATA_DISABLED="true")
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
s=ThreadedMotoServer(ip_address="127.0.0.1",port=0,verbose=False); s.start(); h,p=s.get_host_and_port(); url=f"http://{h}:{p}"
os.environ["AWS_ENDPOINT_URL"]=url
import boto3
sm=boto3.client("secretsmanager",region_name="eu-west-1"); ssm=boto3.client("ssm",region_name="eu-west-1")
sm.create_secret(Name="db",SecretString="hallo ß"); sm.create_secret(Name="bin",SecretBinary=b"\0\1"); sm.create_secret(Name="j",SecretString='{"a":1.10,"b":"x"}')
ssm.put_parameter(Name="/p/a",Value="1",Type="SecureString"); ssm.put_parameter(Name="/p/b/c",Value="2",Type="String")
ffi=FFI()
hdr=open("core/include/keystart.h").read()
hdr=re.sub(r"/\*.*?\*/","",hdr,flags=re.S); hdr="\n".join(l for l in hdr.splitlines() if not l.startswith("#"))
ffi.cdef(hdr+"""
typedef struct keystart_task keystart_task;
uint32_t keystart_fetch_start(const uint8_t*,size_t,keystart_task**,keystart_error**);
uint32_t keystart_task_wait(const keystart_task*,keystart_bytes*,keystart_error**);
void keystart_task_free(keystart_task*);
uint32_t keystart_draft_take(const keystart_draft*,const keystart_task*,keystart_error**);
""")
lib=ffi.dlopen(os.environ["CARGO_TARGET_DIR"] + "/release/libkeystart_extension_core.so")
def entry(name,kind,id,**k): return {"name":name,"kind":kind,"id":id,"region":None,"field":None,"expand":False,"stage":None,"version_id":None,"role":None,"optional":False,**k}
plan={"deadline":8.0,"region":None,"entries":[entry("db","secret","db"),entry("bin","secret","bin"),entry("one","secret","j",field="a"),entry("all","secret","j",expand=True),entry("pa","parameter","/p/a"),entry("below","parameters","/p"),entry("none","secret","none")]}
def call(f,*a):
    e=ffi.new("keystart_error**"); n=f(*a,e)
    if n: raise Exception(bytes(ffi.buffer(e[0].message,e[0].message_len)))
t0=time.time()
d=json.dumps(plan).encode(); t=ffi.new("keystart_task**"); call(lib.keystart_fetch_start,d,len(d),t)
b=ffi.new("keystart_bytes*"); call(lib.keystart_task_wait,t[0],b); print(bytes(ffi.buffer(b.data,b.len)).decode(), round((time.time()-t0)*1000),"ms")
root=tempfile.mkdtemp()+"/k"
w=ffi.new("keystart_writer**"); call(lib.keystart_writer_open,root.encode(),len(root),ffi.NULL,0,b"x",1,b"1",1,w)
dr=ffi.new("keystart_draft**"); call(lib.keystart_draft_new,dr); call(lib.keystart_draft_take,dr[0],t[0]); n=ffi.new("uint64_t*"); call(lib.keystart_draft_publish,dr[0],w[0],n)
import keystart
k=keystart.Keystart(root)
print({x:k.get_bytes(x) for x in k.names()}); print(k.info("one"))
s.stop()
