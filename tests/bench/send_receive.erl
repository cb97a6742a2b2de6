%% SPDX-License-Identifier: Apache-2.0
%% Erlang's send and receive to a process that counts: what `runtime_bench` measures mailboxes against.
%% The sender waits for an answer after every 64 messages in flight 16 times over, so that the mailbox stays
%% as short as ours and garbage collection of a flooded mailbox is not what is measured.
-module(send_receive).
-export([main/0]).

-define(N, 4194304).
-define(WINDOW, 1024).

main() ->
    run(),
    Times = lists:sort([run() || _ <- lists:seq(1, 7)]),
    io:format("~.2f~n", [lists:nth(4, Times)]),
    halt().

run() ->
    Me = self(),
    Counter = spawn_opt(fun() -> count(0, Me) end, [{min_heap_size, 100000}]),
    Data = binary:copy(<<7>>, 64),
    Start = erlang:monotonic_time(nanosecond),
    send(Counter, Data, ?N),
    (erlang:monotonic_time(nanosecond) - Start) / ?N.

send(_, _, 0) ->
    ok;
send(Counter, Data, N) when N rem ?WINDOW =:= 0, N < ?N ->
    receive ack -> ok end,
    Counter ! Data,
    send(Counter, Data, N - 1);
send(Counter, Data, N) ->
    Counter ! Data,
    send(Counter, Data, N - 1).

count(Count, Sender) ->
    receive
        _ when (Count + 1) rem ?WINDOW =:= 0 ->
            Sender ! ack,
            count(Count + 1, Sender);
        _ ->
            count(Count + 1, Sender)
    end.
