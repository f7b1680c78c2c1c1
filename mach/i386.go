package mach

// IOPermCreate makes a port that stands for the I/O ports from to to,
// inclusive. master is [DeviceMaster].
func IOPermCreate(master Port, from, to uint16) (Port, error) {
	r := begin("i386_io_perm_create", 3805)
	r.PutInt16(int16(from))
	r.PutInt16(int16(to))
	if err := r.call(master); err != nil {
		return Null, err
	}
	p := r.TakeSend()
	return p, r.end()
}

// IOPermModify lets task use the I/O ports that perm stands for, or forbids
// it.
func IOPermModify(task, perm Port, enable bool) error {
	r := begin("i386_io_perm_modify", 3806)
	r.PutRight(perm, CopySend)
	r.PutBool(enable)
	return r.do(task)
}
