// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

#include "textflag.h"

// GNU Mach starts the first thread of a bootstrap module with argc at 0(SP),
// argv behind it. The exec server of the Hurd starts it with SP at the very
// end of the stack: nothing at or above SP may be read.
TEXT _rt0_386_hurd(SB),NOSPLIT|NOFRAME,$0
	LEAL	0(SP), AX
	SUBL	$64, SP
	ANDL	$~15, SP
	MOVL	AX, 0(SP)
	CALL	runtime·hurdstart(SB)
	MOVL	4(SP), AX
	MOVL	8(SP), BX
	MOVL	AX, 0(SP)
	MOVL	BX, 4(SP)
	JMP	runtime·rt0_go(SB)

TEXT _rt0_386_hurd_lib(SB),NOSPLIT,$0
	JMP	_rt0_386_lib(SB)

TEXT main(SB),NOSPLIT,$0
	ADDL	$4, SP
	JMP	runtime·rt0_go(SB)
