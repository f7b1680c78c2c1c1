// Tcp measures TCP between two of its processes, wherever they run:
//
//	tcp serve ADDRESS     serves connections until it is killed
//	tcp bench ADDRESS     measures against a server and prints a line of JSON
//
// Nothing in it knows about nodes: the same source measures the host's own
// loopback, the reference that a node is compared with.
package main

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"time"
)

// A connection begins with one byte that says what it is for.
const (
	echo = 'e' // every message comes back
	sink = 's' // eats until the end, then answers with the count, 8 bytes big-endian

	// For more than one transfer a connection. What is asked is 8 bytes big-endian:
	sinks   = 'S' // so many bytes will come, which it eats, and says their number again
	sources = 'R' // it is to send so many bytes
)

// Result is what bench prints.
type Result struct {
	// RTT is the median time of a message of one byte and its echo, in
	// microseconds, over Rounds of them.
	RTT    float64 `json:"rtt_us"`
	Rounds int     `json:"rounds"`
	// Rate is the throughput of one connection, in MB (10^6 bytes) a second,
	// over Bytes.
	Rate  float64 `json:"mb_per_s"`
	Bytes int64   `json:"bytes"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("tcp: ")
	rounds := flag.Int("rounds", 200, "round `trips` to measure")
	size := flag.Int64("bytes", 8<<20, "`bytes` to transfer")
	verbose := flag.Bool("v", false, "say which echoes have come")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal("usage: tcp [-rounds N] [-bytes N] serve|bench ADDRESS")
	}
	var err error
	switch verb, addr := flag.Arg(0), flag.Arg(1); verb {
	case "serve":
		err = serve(addr)
	case "bench":
		err = bench(addr, *rounds, *size, *verbose)
	default:
		err = fmt.Errorf("unknown verb %q", verb)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("serving on", l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := handle(c); err != nil {
				log.Printf("%v: %v", c.RemoteAddr(), err)
			}
		}()
	}
}

func handle(c net.Conn) error {
	var what [1]byte
	if _, err := io.ReadFull(c, what[:]); err != nil {
		return err
	}
	switch what[0] {
	case echo:
		_, err := io.Copy(c, struct{ io.Reader }{c})
		return err
	case sink:
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 64<<10))
		if err != nil {
			return err
		}
		return binary.Write(c, binary.BigEndian, n)
	case sinks:
		return eat(c)
	case sources:
		return feed(c)
	}
	return fmt.Errorf("unknown request %q", what)
}

func eat(c net.Conn) error {
	b := make([]byte, 64<<10)
	for {
		var n uint64
		if err := binary.Read(c, binary.BigEndian, &n); err != nil {
			return eof(err)
		}
		for left := n; left > 0; {
			k, err := c.Read(b[:min(left, uint64(len(b)))])
			if err != nil {
				return err
			}
			left -= uint64(k)
		}
		if err := binary.Write(c, binary.BigEndian, n); err != nil {
			return err
		}
	}
}

func feed(c net.Conn) error {
	b := make([]byte, 64<<10)
	for {
		var n uint64
		if err := binary.Read(c, binary.BigEndian, &n); err != nil {
			return eof(err)
		}
		for n > 0 {
			k, err := c.Write(b[:min(n, uint64(len(b)))])
			if err != nil {
				return err
			}
			n -= uint64(k)
		}
	}
}

// eof is err, but for the end of what is asked.
func eof(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func bench(addr string, rounds int, size int64, verbose bool) error {
	r := Result{Rounds: rounds, Bytes: size}
	var err error
	if r.RTT, err = latency(addr, rounds, verbose); err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	if r.Rate, err = throughput(addr, size); err != nil {
		return fmt.Errorf("throughput: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func dial(addr string, what byte) (*net.TCPConn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{what}); err != nil {
		c.Close()
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func latency(addr string, rounds int, verbose bool) (float64, error) {
	c, err := dial(addr, echo)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	times := make([]float64, rounds)
	b := make([]byte, 1)
	for i := range times {
		start := time.Now()
		if _, err := c.Write(b); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return 0, err
		}
		times[i] = float64(time.Since(start).Nanoseconds()) / 1e3
		if verbose {
			fmt.Println("echo", i+1)
		}
	}
	slices.Sort(times)
	return times[rounds/2], nil
}

func throughput(addr string, size int64) (float64, error) {
	c, err := dial(addr, sink)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	b := make([]byte, 64<<10)
	start := time.Now()
	for left := size; left > 0; {
		n, err := c.Write(b[:min(left, int64(len(b)))])
		if err != nil {
			return 0, err
		}
		left -= int64(n)
	}
	if err := c.CloseWrite(); err != nil {
		return 0, err
	}
	var got int64
	if err := binary.Read(c, binary.BigEndian, &got); err != nil {
		return 0, err
	}
	d := time.Since(start)
	if got != size {
		return 0, fmt.Errorf("the server counts %d bytes of %d", got, size)
	}
	return float64(size) / 1e6 / d.Seconds(), nil
}
