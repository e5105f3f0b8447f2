# An ESME of Net::SMPP that goes once through a talk: perl_esme.pl PORT
use strict;
use warnings;
use Net::SMPP;
$| = 1;
my ($port) = @ARGV;

sub say_it {
    my ($event, %fields) = @_;
    my @pairs = map { "\"$_\":\"$fields{$_}\"" } sort keys %fields;
    print "{" . join(",", "\"event\":\"$event\"", @pairs) . "}\n";
}

my ($refused, $why) = Net::SMPP->new_transceiver('127.0.0.1', port => $port, system_id => 'perl',
    password => 'wrong');
say_it('bound', status => $why ? $why->{status} : -1);
undef $refused;
my ($session, $bound) = Net::SMPP->new_transceiver('127.0.0.1', port => $port,
    system_id => 'perl', password => 'secret') or die "connect: $!";
say_it('bound', status => $bound->{status}, system_id => $bound->{system_id});

for my $text ('hello', pack('H*', '04140410')) {
    my $answer = $session->submit_sm(source_addr => '717100', destination_addr => '380971234567',
        data_coding => $text eq 'hello' ? 0 : 8, short_message => $text);
    say_it('submitted', status => $answer->{status}, id => $answer->{message_id});
}
my $refusal = $session->submit_sm(source_addr => '717100', destination_addr => '1',
    short_message => 'x');
say_it('submitted', status => $refusal->{status});
my $alive = $session->enquire_link();
say_it('alive', status => $alive->{status});
say_it('reading');
my $left = 2;
while ($left && (my $pdu = $session->read_pdu())) {
    if ($pdu->{cmd} == Net::SMPP::CMD_deliver_sm) {
        say_it('deliver', text => unpack('H*', $pdu->{short_message}),
            coding => $pdu->{data_coding}, from => $pdu->{source_addr});
        $session->deliver_sm_resp(seq => $pdu->{seq}, status => $left == 1 ? 0x08 : 0,
            message_id => '');
        $left--;
    } elsif ($pdu->{cmd} == Net::SMPP::CMD_enquire_link) {
        $session->enquire_link_resp(seq => $pdu->{seq});
    }
}
my $bye = $session->unbind();
say_it('unbound', status => $bye->{status});
