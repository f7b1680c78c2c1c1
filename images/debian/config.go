package debian

import (
	"bytes"
	"regexp"
	"strings"
)

// What we write into files that are not ours stands between these lines, so that
// it can be found again.
const (
	blockBegin = "### hurdlab: begin ###\n"
	blockEnd   = "### hurdlab: end ###\n"
)

// cutBlock returns a file without our block.
func cutBlock(file []byte) []byte {
	before, rest, found := bytes.Cut(file, []byte(blockBegin))
	if !found {
		return file
	}
	_, after, found := bytes.Cut(rest, []byte(blockEnd))
	if !found {
		return before
	}
	return append(bytes.Clone(before), after...)
}

// appendBlock puts our block at the end of a file, prependBlock at its beginning.
func appendBlock(file []byte, block string) []byte {
	file = bytes.Clone(cutBlock(file))
	if len(file) > 0 && file[len(file)-1] != '\n' {
		file = append(file, '\n')
	}
	return append(file, blockBegin+block+blockEnd...)
}

func prependBlock(file []byte, block string) []byte {
	return append([]byte(blockBegin+block+blockEnd), cutBlock(file)...)
}

// markLoader is what GRUB writes when it has read its configuration.
const markLoader = "hurdlab: boot loader"

var (
	multiboot = regexp.MustCompile(`(?m)^([ \t]*multiboot2?[ \t]+\S*gnumach\S*)(.*)$`)
	// consoleWord is a word of the kernel's that says where the console is.
	consoleWord = regexp.MustCompile(`[ \t]+console=\S+`)
)

// editGrub makes GRUB's configuration boot on the serial line: GRUB itself, and
// the kernel (console=com0, section 3.2).
func editGrub(cfg []byte) []byte {
	cfg = multiboot.ReplaceAllFunc(cutBlock(cfg), func(l []byte) []byte {
		m := multiboot.FindSubmatch(l)
		rest := consoleWord.ReplaceAll(m[2], nil)
		return append(append(bytes.Clone(m[1]), bytes.TrimRight(rest, " \t")...), " console=com0"...)
	})
	return appendBlock(cfg, `serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout_style=menu
set timeout=1
echo '`+markLoader+`'
`)
}

// editGrubDefaults does the same for configurations that update-grub makes.
func editGrubDefaults(file []byte) []byte {
	return appendBlock(file, `GRUB_TIMEOUT=1
GRUB_TERMINAL=serial
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
case " $GRUB_CMDLINE_GNUMACH " in
	*" console=com0 "*) ;;
	*) GRUB_CMDLINE_GNUMACH="$GRUB_CMDLINE_GNUMACH console=com0" ;;
esac
`)
}

// editInittab has sysvinit run our init beside whatever else it runs.
func editInittab(file []byte) []byte {
	return appendBlock(file, "hl:2345:respawn:"+nodeInit+"\n")
}

// editSSH lets the lab in: the first value of an option holds.
func editSSH(file []byte) []byte {
	return prependBlock(file, "HostKey "+hostKeyFile+"\nPermitRootLogin prohibit-password\nPubkeyAuthentication yes\nAcceptEnv *\n")
}

// rootHome is the home of root.
func rootHome(passwd []byte) string {
	for l := range strings.Lines(string(passwd)) {
		if f := strings.Split(strings.TrimSpace(l), ":"); len(f) > 5 && f[0] == "root" && strings.HasPrefix(f[5], "/") {
			return f[5]
		}
	}
	return "/root"
}
