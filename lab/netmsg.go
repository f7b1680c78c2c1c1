package lab

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"

	"hurdlab/netmsg/transport"
)

// netmsgPolicy lets the nodes of a lab use each other's files, whoever is whoever
// on both: they are one cluster.
const netmsgPolicy = `# The nodes of a lab are one cluster: users are the same everywhere.
export / / *
export exec /servers/exported/rexec *
user * 0 0
user * 1-65534 1
group * 0 0
group * 1-65534 1
`

// netmsgFiles makes the files of each node's netmsg: a key, and the keys and
// addresses of the others. There are none for a node that is alone.
func netmsgFiles(nodes map[string]netip.Addr) (map[string]map[string]string, error) {
	files := make(map[string]map[string]string)
	if len(nodes) < 2 {
		return files, nil
	}
	peers := make(transport.Peers)
	for name, addr := range nodes {
		key, err := transport.NewKey()
		if err != nil {
			return nil, err
		}
		pem, err := transport.FormatKey(key)
		if err != nil {
			return nil, fmt.Errorf("the netmsg key of %s: %w", name, err)
		}
		peers[name] = transport.Peer{
			Name: name, Addr: netip.AddrPortFrom(addr, transport.Port).String(), Key: key.Public().(ed25519.PublicKey),
		}
		files[name] = map[string]string{"key": string(pem), "policy": netmsgPolicy}
	}
	for name := range files {
		files[name]["peers"] = string(peers.Format())
	}
	return files, nil
}
