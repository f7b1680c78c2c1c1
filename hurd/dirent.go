package hurd

import (
	"encoding/binary"

	"hurdlab/hurd/proto"
)

// A Dirent is an entry of a directory, as dir_readdir packs it (section 5.5).
type Dirent struct {
	Name string
	Ino  uint64
	Type uint8 // a proto.DT constant
}

// MaxName is the length of the longest name in a directory, in bytes.
const MaxName = 255

const direntHeader = 12

// Size is the number of bytes that e takes.
func (e Dirent) Size() int { return (direntHeader + min(len(e.Name), MaxName) + 1 + 7) &^ 7 }

// AppendDirent appends e to what dir_readdir answers. A name that is too long
// is cut.
func AppendDirent(b []byte, e Dirent) []byte {
	name := e.Name[:min(len(e.Name), MaxName)]
	size, at := e.Size(), len(b)
	b = append(b, make([]byte, size)...)
	binary.LittleEndian.PutUint64(b[at:], e.Ino)
	binary.LittleEndian.PutUint16(b[at+8:], uint16(size))
	b[at+10] = e.Type
	b[at+11] = byte(len(name))
	copy(b[at+direntHeader:], name)
	return b
}

// ParseDirents takes what dir_readdir answered apart. The error is that it is
// malformed: EIO.
func ParseDirents(b []byte) ([]Dirent, error) {
	var list []Dirent
	for len(b) > 0 {
		if len(b) < direntHeader {
			return list, proto.EIO
		}
		size, n := int(binary.LittleEndian.Uint16(b[8:])), int(b[11])
		if size < direntHeader+n || size > len(b) {
			return list, proto.EIO
		}
		list = append(list, Dirent{
			Name: string(b[direntHeader : direntHeader+n]),
			Ino:  binary.LittleEndian.Uint64(b),
			Type: b[10],
		})
		b = b[size:]
	}
	return list, nil
}
