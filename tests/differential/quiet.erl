%% Answers, on a port of its own within RabbitMQ's VM, when no process there has anything to do. Then all that a client
%% has asked for has had its effects, but for what waits for a timer or a disk.
-module(quiet).
-export([start/1]).

start(Caller) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {active, false}, {nodelay, true}]),
    {ok, Port} = inet:port(Listener),
    Caller ! {port, Port},
    accept(Listener).

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    serve(Socket),
    accept(Listener).

serve(Socket) ->
    case gen_tcp:recv(Socket, 1) of
        {ok, _} ->
            ok = gen_tcp:send(Socket, <<(wait(0, 0)):32>>),
            serve(Socket);
        {error, closed} ->
            gen_tcp:close(Socket)
    end.

%% Processes and ports that run or could run; this process is one. The counts of the schedulers are not taken at once, so
%% it is asked more than once.
wait(3, Rounds) -> Rounds;
wait(Times, Rounds) ->
    case erlang:statistics(total_active_tasks_all) of
        1 -> wait(Times + 1, Rounds);
        _ -> erlang:yield(), wait(0, Rounds + 1)
    end.
