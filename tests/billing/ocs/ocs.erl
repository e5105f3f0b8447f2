%% An online charging system for tests, on Erlang's own diameter stack.
%%
%% Standard input sets how it behaves for a phone ("mode MSISDN MODE") and asks for a sign of life
%% ("sync"); standard output is its journal, an object a line. One process keeps the book, so that
%% looking for a duplicate and debiting are one act. It dedupes by Session-Id and CC-Request-Number.
-module(ocs).
-include_lib("diameter/include/diameter.hrl").
-export([main/1]).
%% What stands in the book where an event has its Requested-Action: the two requests of a session.
-define(BEGIN, 10).
-define(END, 11).
-export([peer_up/3, peer_down/3, pick_peer/4, prepare_request/3, prepare_retransmit/3,
         handle_answer/4, handle_error/4, handle_request/3]).

main(Host) ->
    ok = diameter:start(),
    ok = diameter:start_service(ocs, [
        {'Origin-Host', Host}, {'Origin-Realm', "operator.example"}, {'Vendor-Id', 0},
        {'Host-IP-Address', [{127, 0, 0, 1}]}, {'Product-Name', "test ocs"},
        {'Auth-Application-Id', [4]}, {string_decode, false}, {decode_format, map},
        {application, [{alias, ro}, {dictionary, ro}, {module, ?MODULE},
                       {request_errors, answer}]}]),
    register(book, spawn(fun() -> keep(#{}, #{}) end)),
    {ok, Ref} = diameter:add_transport(ocs, {listen, [
        {transport_module, diameter_tcp}, {watchdog_config, [{okay, 0}]},
        {transport_config, [{reuseaddr, true}, {ip, {127, 0, 0, 1}}, {port, 0}]}]}),
    say("\"event\":\"up\",\"port\":~b", [listening(Ref)]),
    obey().

listening(Ref) ->
    [{{_, listener, {Ref, {_, Socket}}}, _}] = diameter_reg:wait({diameter_tcp, listener, {Ref, '_'}}),
    {ok, Port} = inet:port(Socket),
    Port.

obey() ->
    case io:get_line("") of
        eof -> halt(0);
        {error, _} -> halt(1);
        Line ->
            case string:lexemes(Line, " \n") of
                ["mode", Phone, Mode] ->
                    ask({mode, list_to_binary(Phone), list_to_atom(Mode)});
                ["sync"] -> ok
            end,
            say("\"event\":\"done\"", []),
            obey()
    end.

%% One line, written when this returns.
say(Format, Args) -> io:format("{" ++ Format ++ "}~n", Args).

ask(What) ->
    Ref = make_ref(),
    book ! {self(), Ref, What},
    receive {Ref, Answer} -> Answer end.

%% The book: answers by {Session-Id, CC-Request-Number, Requested-Action}, modes by phone.
keep(Book, Modes) ->
    receive
        {From, Ref, {mode, Phone, Mode}} ->
            From ! {Ref, ok},
            keep(Book, Modes#{Phone => Mode});
        {From, Ref, {look, Phone}} ->
            From ! {Ref, maps:get(Phone, Modes, ok)},
            keep(Book, Modes);
        {From, Ref, {charge, {Session, _, End} = Key, Phone, Units}} ->
            case Book of
                #{Key := Known} ->
                    From ! {Ref, {answer, Known}},
                    keep(Book, Modes);
                _ when End =:= ?END, not is_map_key({Session, 0, ?BEGIN}, Book) ->
                    From ! {Ref, {answer, {5002, Units}}},
                    keep(Book, Modes);
                _ ->
                    {Reply, Entry} = decide(maps:get(Phone, Modes, ok), Key, Phone, Units),
                    From ! {Ref, Reply},
                    keep(case Entry of none -> Book; _ -> Book#{Key => Entry} end, Modes)
            end;
        {late, Key, Phone, Units} ->
            keep(Book#{Key => debit(Key, Phone, Units)}, Modes)
    end.

%% What is said now, and what is kept under the key.
decide(ok, K, P, U) -> Done = debit(K, P, U), {{answer, Done}, Done};
decide(insufficient, _, _, U) -> {{answer, {4012, U}}, {4012, U}};
decide(barred, _, _, U) -> {{answer, {4010, U}}, {4010, U}};
decide(unknown, _, _, U) -> {{answer, {5030, U}}, {5030, U}};
decide(unrated, _, _, U) -> {{answer, {5031, U}}, {5031, U}};
decide(vendor, _, _, U) -> {{answer, {{10415, 4241}, U}}, {{10415, 4241}, U}};
decide(lost_request, _, _, _) -> {silence, none};
decide(lost_answer, K, P, U) -> {silence, debit(K, P, U)};
decide(busy, _, _, _) -> {{error, 3004}, none};
decide(undeliverable, K, P, U) -> {{error, 3002}, debit(K, P, U)};
decide(error_before, _, _, U) -> {{answer, {5012, U}}, none};
decide(error_after, K, P, U) -> {{answer, {5012, U}}, debit(K, P, U)};
decide(other_money, K, P, U) -> {{answer, {2001, more(U)}}, debit(K, P, U)};
decide(reset, K, P, U) -> {reset, debit(K, P, U)};
decide(slow, K, P, U) -> Done = debit(K, P, U), {{slow, Done}, Done};
decide(zombie, K, P, U) -> erlang:send_after(1500, self(), {late, K, P, U}), {silence, none}.

debit({Session, _, Action}, Phone, #{'CC-Money' := [Money]} = Units) ->
    #{'Unit-Value' := Value, 'Currency-Code' := [Currency]} = Money,
    #{'Value-Digits' := Digits} = Value,
    Exponent = maps:get('Exponent', Value, [0]),
    Done = case {Action, Digits} of
        {0, _} -> "debited";
        {1, _} -> "refunded";
        {?BEGIN, _} -> "reserved";
        {?END, 0} -> "released";
        {?END, _} -> "debited"
    end,
    say("\"event\":\"~s\",\"session\":\"~s\",\"msisdn\":\"~s\",\"digits\":~b,"
        "\"exponent\":~b,\"currency\":~b",
        [Done, Session, Phone, Digits, hd(Exponent), Currency]),
    %% Nothing is granted to a session that ends.
    {2001, case Action of ?END -> none; _ -> Units end}.

more(#{'CC-Money' := [#{'Unit-Value' := #{'Value-Digits' := D} = V} = M]} = U) ->
    U#{'CC-Money' := [M#{'Unit-Value' := V#{'Value-Digits' := D + 1}}]}.

%% What the stack calls.
peer_up(_, _, State) -> State.
peer_down(_, _, State) -> State.
pick_peer(_, _, _, _) -> false.
prepare_request(_, _, _) -> discard.
prepare_retransmit(_, _, _) -> discard.
handle_answer(_, _, _, _) -> ok.
handle_error(_, _, _, _) -> ok.

handle_request(#diameter_packet{header = Header, errors = [], msg = ['CCR' | Request]}, _, {Peer, Caps}) ->
    #{'Session-Id' := Session, 'CC-Request-Number' := Number, 'CC-Request-Type' := Type,
      'Subscription-Id' := #{'Subscription-Id-Data' := Phone}} = Request,
    Action = case {Type, Number, Request} of
        {1, 0, _} -> ?BEGIN;
        {3, 1, #{'Termination-Cause' := [1]}} -> ?END;
        {4, 0, #{'Requested-Action' := [Asked]}} -> Asked
    end,
    say("\"event\":\"asked\",\"session\":\"~s\",\"action\":~b,\"repeat\":~p,\"end_to_end\":~b,"
        "\"from\":\"~s\"",
        [Session, Action, Header#diameter_header.is_retransmitted,
         Header#diameter_header.end_to_end_id, maps:get('Origin-Host', Request)]),
    {Place, [Units]} = case Request of
        #{'Multiple-Services-Credit-Control' := [#{'Requested-Service-Unit' := Inside}]} ->
            {inside, Inside};
        #{'Multiple-Services-Credit-Control' := [#{'Used-Service-Unit' := Inside}]} ->
            {inside, Inside};
        #{'Requested-Service-Unit' := Outside} -> {outside, Outside};
        #{'Used-Service-Unit' := Outside} -> {outside, Outside}
    end,
    Own = Caps#diameter_caps.origin_host,
    Head = #{'Session-Id' => Session, 'Origin-Host' => element(1, Own),
             'Origin-Realm' => element(1, Caps#diameter_caps.origin_realm),
             'Auth-Application-Id' => 4, 'CC-Request-Type' => Type, 'CC-Request-Number' => Number},
    case Action of
        Move when Move =/= 2 ->
            told(ask({charge, {Session, Number, Move}, Phone, Units}), Head, Place, Peer);
        2 ->
            Enough = case ask({look, Phone}) of insufficient -> 1; _ -> 0 end,
            {reply, ['CCA' | Head#{'Result-Code' => 2001, 'Check-Balance-Result' => Enough}]}
    end.

told({answer, {Code, Units}}, Head, Place, _) ->
    {reply, ['CCA' | maps:merge(Head, result(Code, Units, Place))]};
told({slow, Answer}, Head, Place, Peer) ->
    timer:sleep(1400),
    told({answer, Answer}, Head, Place, Peer);
told({error, Code}, _, _, _) -> {protocol_error, Code};
told(silence, _, _, _) -> discard;
told(reset, _, _, Peer) -> exit(Peer, kill), discard.

result({Vendor, Code}, _, _) ->
    #{'Experimental-Result' => [#{'Vendor-Id' => Vendor, 'Experimental-Result-Code' => Code}]};
result(5002, _, _) -> #{'Result-Code' => 5002};
result(2001, none, outside) -> #{'Result-Code' => 2001};
result(2001, none, inside) ->
    #{'Result-Code' => 2001, 'Multiple-Services-Credit-Control' => [#{'Result-Code' => 2001}]};
result(2001, Units, outside) -> #{'Result-Code' => 2001, 'Granted-Service-Unit' => Units};
result(Code, _, outside) -> #{'Result-Code' => Code};
%% Outside all is well; what became of the one service stands inside.
result(2001, Units, inside) ->
    #{'Result-Code' => 2001, 'Multiple-Services-Credit-Control' =>
        [#{'Granted-Service-Unit' => Units, 'Result-Code' => 2001}]};
result(Code, _, inside) ->
    #{'Result-Code' => 2001, 'Multiple-Services-Credit-Control' => [#{'Result-Code' => Code}]}.
