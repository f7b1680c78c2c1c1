package machimage

// The numbers of protocols and services that programs may know by name, as far
// as somebody might meet them in a lab: numbers and names are IANA's.
const (
	etcProtocols = `# name number aliases
ip	0	IP
icmp	1	ICMP
igmp	2	IGMP
tcp	6	TCP
udp	17	UDP
ipv6	41	IPv6
ipv6-icmp	58	IPv6-ICMP
`
	etcServices = `# name number/protocol aliases
echo	7/tcp
echo	7/udp
discard	9/tcp	sink null
discard	9/udp	sink null
daytime	13/tcp
daytime	13/udp
chargen	19/tcp
chargen	19/udp
ftp-data	20/tcp
ftp	21/tcp
ssh	22/tcp
telnet	23/tcp
smtp	25/tcp	mail
time	37/tcp
time	37/udp
domain	53/tcp
domain	53/udp
bootps	67/udp
bootpc	68/udp
tftp	69/udp
http	80/tcp	www
kerberos	88/tcp	kerberos5
kerberos	88/udp	kerberos5
pop3	110/tcp	pop-3
sunrpc	111/tcp	portmapper
sunrpc	111/udp	portmapper
nntp	119/tcp
ntp	123/udp
netbios-ns	137/udp
netbios-dgm	138/udp
netbios-ssn	139/tcp
imap2	143/tcp	imap
snmp	161/udp
ldap	389/tcp
https	443/tcp
https	443/udp
syslog	514/udp
submission	587/tcp
ldaps	636/tcp
domain-s	853/tcp
imaps	993/tcp
pop3s	995/tcp
nfs	2049/tcp
nfs	2049/udp
`
)
