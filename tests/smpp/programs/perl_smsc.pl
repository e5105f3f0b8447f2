# An SMSC of Net::SMPP for one connection, told what to do by the texts that are submitted to it.
use strict;
use warnings;
use Net::SMPP;
use Net::SMPP;
$| = 1;

sub say_it {
    my ($event, %fields) = @_;
    my @pairs = map { "\"$_\":\"$fields{$_}\"" } sort keys %fields;
    print "{" . join(",", "\"event\":\"$event\"", @pairs) . "}\n";
}

my $listener = Net::SMPP->new_listen('127.0.0.1', port => 0, timeout => 30) or die "listen: $!";
say_it('listening', port => $listener->sockport());
my $session = $listener->accept() or die "accept: $!";
my $made = 0;
my $ya = pack('H*', '04140410');

sub message {
    my (%fields) = @_;
    $session->deliver_sm(
        source_addr_ton => 1, source_addr_npi => 1, source_addr => '380971234567',
        destination_addr => '717100', async => 1, %fields);
}

while (1) {
    my $pdu = $session->read_pdu() or last;
    my $cmd = $pdu->{cmd};
    if ($cmd == Net::SMPP::CMD_bind_transceiver || $cmd == Net::SMPP::CMD_bind_transmitter
        || $cmd == Net::SMPP::CMD_bind_receiver) {
        say_it('bind', system_id => $pdu->{system_id}, password => $pdu->{password});
        my $right = $pdu->{password} eq 'secret';
        my %answer = (seq => $pdu->{seq}, status => $right ? 0 : 0x0e, system_id => 'perl');
        if ($cmd == Net::SMPP::CMD_bind_transceiver) { $session->bind_transceiver_resp(%answer) }
        elsif ($cmd == Net::SMPP::CMD_bind_transmitter) { $session->bind_transmitter_resp(%answer) }
        else { $session->bind_receiver_resp(%answer) }
    } elsif ($cmd == Net::SMPP::CMD_submit_sm) {
        my $text = $pdu->{short_message};
        say_it('submit', text => unpack('H*', $text), coding => $pdu->{data_coding},
            to => $pdu->{destination_addr}, from => $pdu->{source_addr},
            esm_class => $pdu->{esm_class});
        if ($text eq 'refuse') {
            $session->submit_sm_resp(seq => $pdu->{seq}, status => 0x0b, message_id => '');
            next;
        }
        my $id = 'perl-' . ++$made;
        $session->submit_sm_resp(seq => $pdu->{seq}, status => 0, message_id => $id);
        message(data_coding => 8, short_message => $ya) if $text eq 'mo';
        message(data_coding => 8, short_message => $ya, ussd_service_op => chr(18),
            its_session_info => pack('CC', 1, 3)) if $text eq 'ussd';
        message(esm_class => 4, short_message => "id:$id sub:001 dlvrd:001 submit date:2611230910 "
            . 'done date:2611230910 stat:DELIVRD err:000 text:') if $text eq 'receipt';
        $session->enquire_link(async => 1) if $text eq 'enquire';
        $session->unbind(async => 1) if $text eq 'unbind';
    } elsif ($cmd == Net::SMPP::CMD_enquire_link) {
        $session->enquire_link_resp(seq => $pdu->{seq});
    } elsif ($cmd == Net::SMPP::CMD_unbind) {
        $session->unbind_resp(seq => $pdu->{seq});
        say_it('unbind');
        last;
    } elsif ($cmd == Net::SMPP::CMD_deliver_sm_resp) {
        say_it('delivered', status => $pdu->{status});
    } elsif ($cmd == Net::SMPP::CMD_enquire_link_resp) {
        say_it('alive');
    } elsif ($cmd == Net::SMPP::CMD_unbind_resp) {
        say_it('unbound');
        last;
    }
}
say_it('end');
