package password

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

func TestCheck(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	shadow := []byte("root:*:1\nuser:" + string(hash) + ":19000:0\nopen::\n")
	names := map[uint32]string{0: "root", 1000: "user", 1001: "open", 1002: "other"}
	s := &Server{
		Hash: func(uid uint32) (string, bool, error) {
			h, ok := Find(shadow, names[uid])
			return h, ok, nil
		},
		Auth: func(_ context.Context, uids, gids []int32) (mach.Port, error) {
			if len(uids) != 1 || len(gids) != 0 {
				t.Errorf("handle of %v, %v", uids, gids)
			}
			return mach.Port(uids[0]), nil
		},
	}
	for _, tt := range []struct {
		uid int32
		pw  string
		ok  bool
	}{
		{0, "", false}, {0, "*", false}, {1000, "secret", true}, {1000, "Secret", false}, {1000, "", false}, {1000, string(hash), false},
		{1001, "", true}, {1001, "x", false}, {1002, "", false}, {7, "", false},
	} {
		p, err := s.PasswordCheckUser(t.Context(), tt.uid, tt.pw)
		if tt.ok && (err != nil || p != mach.Port(tt.uid)) || !tt.ok && !errors.Is(err, proto.EACCES) {
			t.Errorf("user %d, password %q: %v, %v", tt.uid, tt.pw, p, err)
		}
	}
	if _, err := s.PasswordCheckGroup(t.Context(), 0, ""); !errors.Is(err, proto.EACCES) {
		t.Error(err)
	}
}
