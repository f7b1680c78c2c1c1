package main

import (
	"bytes"
	"os"
	"testing"
)

func TestTheTableIsUpToDate(t *testing.T) {
	t.Chdir("..")
	var src string
	for _, name := range []string{"../../hurd/proto/hurd.idl", "kernel.idl"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		src += string(b)
	}
	want, err := generate(src)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("zz_routines.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("zz_routines.go is not what the descriptions say: run go generate ./netmsg/wire")
	}
}

func TestBadDescriptionsAreRefused(t *testing.T) {
	for _, bad := range []string{
		"routine() → ()",
		"1 routine(a) → ()",
		"1 routine(a:i32)\n1 again(a:i32)",
	} {
		if _, err := generate(bad); err == nil {
			t.Errorf("%q was not refused", bad)
		}
	}
}
