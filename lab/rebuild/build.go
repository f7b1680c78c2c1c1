package rebuild

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// build builds the packages.
func (j *Job) build(ctx context.Context) error {
	_, err := j.run(ctx, `cd $W/patched
rm -f ../*.deb ../*.changes ../*.buildinfo
DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -b -nc -uc -us
cd ..
rm -rf out out.new
mkdir out.new
mv *.deb out.new
mv out.new out`)
	return err
}

// buildQuick builds without packages. What was built the last time is there still: only
// files that are others now are copied over it, and make does the rest. Of what is built
// since then that goes where a file of the same name is installed.
func (j *Job) buildQuick(ctx context.Context) error {
	out, err := j.run(ctx, `cd $W
mkdir -p quick
( cd patched; find . -type f -o -type l ) | sort > quick.list
if [ -e quick.before ]; then
	comm -13 quick.list quick.before | while read -r f; do rm -f "quick/$f"; done
fi
while read -r f; do
	cmp -s "patched/$f" "quick/$f" && continue
	mkdir -p "quick/${f%/*}"
	cp -P "patched/$f" "quick/$f"
done < quick.list
mv quick.list quick.before
touch quick.began
cd quick
dirs=$(find . -mindepth 2 -maxdepth 2 -name config.status)
if [ -z "$dirs" ]; then
	DEB_BUILD_OPTIONS=nocheck debian/rules build
	dirs=$(find . -mindepth 2 -maxdepth 2 -name config.status)
else
	for d in $dirs; do make -C "${d%/*}"; done
fi
cd ..
rm -rf out out.new
mkdir out.new
newer=
[ ! -e quick.done ] || newer='-newer quick.done'
find quick -type f $newer \( -perm -u+x -o -name '*.so.*' \) | while read -r f; do
	[ "$(head -c 4 "$f" | tail -c 3)" = ELF ] || continue
	n=${f##*/}
	for at in /hurd /bin /sbin /usr/bin /usr/sbin /lib /lib/* /usr/lib /usr/lib/*; do
		[ -f "$R$at/$n" ] && [ ! -L "$R$at" ] || continue
		mkdir -p "out.new$at"
		cp "$f" "out.new$at/$n"
		strip --strip-unneeded "out.new$at/$n"
		echo "built $at/$n"
	done
done
mv out.new out`)
	if err != nil {
		return err
	}
	files := make(map[string]string)
	for _, m := range builtLine.FindAllStringSubmatch(out, -1) {
		sum, err := j.digest(ctx, j.Dir+"/out"+m[1])
		if err != nil {
			return err
		}
		files[m[1]] = sum
	}
	if len(files) == 0 {
		return errors.New("nothing has been built that is installed on the node")
	}
	j.state.Files = files
	return nil
}

var builtLine = regexp.MustCompile(`(?m)^built (/\S+)$`)

// install installs those packages that are installed already.
func (j *Job) install(ctx context.Context) error {
	_, err := j.run(ctx, `export DEBIAN_FRONTEND=noninteractive
cd $W/out
dpkg --configure -a
set --
for d in *.deb; do
	p=$(dpkg-deb -f "$d" Package)
	case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in *' installed') set -- "$@" "./$d";; esac
done
if [ $# = 0 ]; then echo "none of the packages is installed on the node" >&2; exit 1; fi
dpkg -i "$@"
sync`)
	return err
}

// checkPackages wants the packages' versions to be those that were built, and their files
// to be theirs.
func (j *Job) checkPackages(ctx context.Context) error {
	out, err := j.run(ctx, `cd $W/out
for d in *.deb; do
	p=$(dpkg-deb -f "$d" Package)
	case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in *' installed') ;; *) continue;; esac
	echo "installed $p $(dpkg-query -W -f '${Version}' "$p")"
	dpkg --verify "$p" || true
done`)
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		switch {
		case len(f) == 3 && f[0] == "installed":
			if n++; f[2] != j.version() {
				return fmt.Errorf("%s is of version %s, not %s", f[1], f[2], j.version())
			}
		case len(f) == 2 && strings.Contains(f[0], "5"): // a digest that is another, and no configuration file
			return fmt.Errorf("%s is not what was installed", f[1])
		}
	}
	if n == 0 {
		return errors.New("no package of the Hurd is installed")
	}
	return nil
}
