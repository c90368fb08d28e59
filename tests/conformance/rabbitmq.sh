#!/bin/bash
# A RabbitMQ of our own, from Debian's package, tuned as its documentation advises for throughput: the oracle of the
# conformance scripts and the peer of the benchmarks (loadgen carries this file inside itself). It shares no port, cookie,
# folder or epmd with another one.
#
#   rabbitmq.sh start    starts it and returns when it answers (4-8 s); prints its URI and its process id
#   rabbitmq.sh stop     stops it and its epmd
#   rabbitmq.sh pid      prints the process id of the Erlang VM
#   rabbitmq.sh ctl ...  rabbitmqctl on it
#   rabbitmq.sh settings prints version, runtime, and the settings in effect that matter for speed
#
# RABBIT_PORT (5682) is AMQP's; the distribution port is 20000 above it and epmd's 21000 above it. RABBIT_HTTP_PORT, if given,
# is that of the management plugin; RABBIT_PLUGINS names others, with commas between.
# RABBIT_DIR (/tmp/haremq-rabbit-PORT) holds data, log and configuration; stop leaves the log, start begins empty.
set -euo pipefail

port=${RABBIT_PORT:-5682}
dir=${RABBIT_DIR:-/tmp/haremq-rabbit-$port}
bin=/usr/lib/rabbitmq/bin
seconds_to_start=60
seconds_to_stop=30

environment() {
  export HOME=$dir # the Erlang cookie is made here
  export ERL_EPMD_PORT=$((port + 21000)) ERL_EPMD_ADDRESS=127.0.0.1
  export RABBITMQ_NODENAME=haremq-oracle-$port@localhost
  export RABBITMQ_DIST_PORT=$((port + 20000))
  export RABBITMQ_NODE_PORT=$port RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
  export RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf RABBITMQ_CONF_ENV_FILE=$dir/none
  export RABBITMQ_MNESIA_BASE=$dir/data RABBITMQ_LOG_BASE=$dir/log
  export RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins
  export RABBITMQ_PID_FILE=$dir/pid
}

configure() {
  rm -rf "$dir"
  mkdir -p "$dir/data" "$dir/log"
  echo "[${RABBIT_HTTP_PORT:+rabbitmq_management${RABBIT_PLUGINS:+,}}${RABBIT_PLUGINS:-}]." >"$dir/enabled_plugins"
  cat >"$dir/rabbitmq.conf" <<-CONF
	tcp_listen_options.nodelay = true
	tcp_listen_options.sndbuf = 196608
	tcp_listen_options.recbuf = 196608
	tcp_listen_options.buffer = 196608
	tcp_listen_options.backlog = 4096
	heartbeat = 0
	collect_statistics = none
	vm_memory_high_watermark.relative = 0.6
	log.file.level = warning
	log.console = false
	CONF
  [ -z "${RABBIT_HTTP_PORT:-}" ] || echo "management.tcp.port = $RABBIT_HTTP_PORT" >>"$dir/rabbitmq.conf"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

alive() { [ -s "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }

start() {
  [ -x $bin/rabbitmq-server ] || { echo "RabbitMQ is not installed (Debian, Ubuntu: apt install rabbitmq-server)" >&2; exit 69; }
  answers && { echo "port $port is taken" >&2; exit 69; }
  configure
  environment
  epmd -daemon -port "$ERL_EPMD_PORT"
  setsid $bin/rabbitmq-server </dev/null >"$dir/log/console" 2>&1 &
  for _ in $(seq $((seconds_to_start * 10))); do
    answers && alive && { echo "amqp://guest:guest@127.0.0.1:$port pid $(cat "$dir/pid")"; return; }
    sleep 0.1
  done
  echo "RabbitMQ did not answer within $seconds_to_start s; see $dir/log" >&2
  exit 70
}

stop() {
  if alive; then
    pid=$(cat "$dir/pid")
    kill -TERM "$pid"
    for _ in $(seq $((seconds_to_stop * 10))); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
  fi
  environment
  epmd -port "$ERL_EPMD_PORT" -kill >/dev/null 2>&1 || true
}

settings() {
  environment
  echo "rabbitmq-server $($bin/rabbitmqctl --quiet version)"
  $bin/rabbitmqctl --quiet eval '
    io:format("erlang/otp ~s, ~s, ~p schedulers~n",
              [erlang:system_info(otp_release), erlang:system_info(emu_flavor), erlang:system_info(schedulers_online)]),
    [io:format("~s = ~0p~n", [Name, application:get_env(rabbit, Name, undefined)])
     || Name <- [tcp_listen_options, heartbeat, frame_max, channel_max, collect_statistics, vm_memory_high_watermark,
                 credit_flow_default_credit, queue_index_embed_msgs_below]],
    io:format("plugins = ~0p", [rabbit_plugins:active()]), io:nl(), init.' | sed '$d'
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  pid) cat "$dir/pid" ;;
  settings) settings ;;
  ctl) shift; environment; exec $bin/rabbitmqctl "$@" ;;
  *) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 64 ;;
esac
