// Package password gives authentication to those who know a password: what a
// Hurd has at /servers/password.
//
// Passwords are in /etc/shadow, hashed by bcrypt: a line is NAME:HASH, and
// anything after another colon is ignored. An empty hash is an empty password;
// who has no line, or a hash that is none, has no password, and nobody gets in.
//
// The facts are from the reference document hurd-protocol.md: section 7.6.
package password

import (
	"bufio"
	"bytes"
	"context"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
	"hurdlab/mach"
)

// A Server is the node /servers/password: [translator.Node].
type Server struct {
	proto.UnimplementedPassword

	// Hash returns the hash of a user's password, and whether there is one.
	Hash func(uid uint32) (hash string, ok bool, err error)
	// Auth makes an authentication handle of a user or a group, a right that
	// the client gets.
	Auth func(ctx context.Context, uids, gids []int32) (mach.Port, error)

	one sync.Mutex // a guess at a time: each costs a lot
}

// Stat is that of a device.
func (*Server) Stat(context.Context) (translator.Stat, error) {
	return translator.Stat{Mode: proto.S_IFCHR | 0o666}, nil
}

// Protocols is what is served at the node: [translator.Protocols].
func (s *Server) Protocols(translator.User, int32) []any { return []any{s} }

// PasswordCheckUser gives who knows the password of a user a handle with the
// user's id.
func (s *Server) PasswordCheckUser(ctx context.Context, user int32, pw string) (mach.Port, error) {
	hash, ok, err := s.Hash(uint32(user))
	if err != nil {
		return mach.Null, err
	}
	if !ok || !s.matches(hash, pw) {
		return mach.Null, proto.EACCES
	}
	return s.Auth(ctx, []int32{user}, nil)
}

// PasswordCheckGroup fails: groups have no passwords.
func (s *Server) PasswordCheckGroup(context.Context, int32, string) (mach.Port, error) {
	return mach.Null, proto.EACCES
}

func (s *Server) matches(hash, pw string) bool {
	s.one.Lock()
	defer s.one.Unlock()
	if hash == "" {
		return pw == ""
	}
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(pw)) == nil
}

// Find finds the hash of a name in the contents of /etc/shadow.
func Find(shadow []byte, name string) (hash string, ok bool) {
	for lines := bufio.NewScanner(bytes.NewReader(shadow)); lines.Scan(); {
		if who, rest, found := strings.Cut(lines.Text(), ":"); found && who == name && name != "" {
			hash, _, _ := strings.Cut(rest, ":")
			return hash, true
		}
	}
	return "", false
}
