// Copyright 2026 The Go Authors. All rights reserved.
// Use of this source code is governed by a BSD-style
// license that can be found in the LICENSE file.

// System calls and other sys.stuff for 386, GNU Mach.

#include "go_asm.h"
#include "go_tls.h"
#include "textflag.h"

// A Mach trap is "lcall $7, $0" with the (negative) trap number in AX.
// The kernel takes the arguments from 4(SP) on, so an ABI0 function without
// a frame passes its own arguments unchanged. The result comes back in AX.
#define TRAP(n) \
	MOVL	$(n), AX \
	BYTE	$0x9A; LONG $0; WORD $7

TEXT runtime·mach_msg_trap(SB),NOSPLIT,$0-32
	TRAP(-25)
	MOVL	AX, ret+28(FP)
	RET

TEXT runtime·mach_reply_port(SB),NOSPLIT,$0-4
	TRAP(-26)
	MOVL	AX, ret+0(FP)
	RET

TEXT runtime·mach_thread_self(SB),NOSPLIT,$0-4
	TRAP(-27)
	MOVL	AX, ret+0(FP)
	RET

TEXT runtime·mach_task_self(SB),NOSPLIT,$0-4
	TRAP(-28)
	MOVL	AX, ret+0(FP)
	RET

TEXT runtime·mach_host_self(SB),NOSPLIT,$0-4
	TRAP(-29)
	MOVL	AX, ret+0(FP)
	RET

TEXT runtime·mach_print(SB),NOSPLIT,$0-4
	TRAP(-30)
	RET

// Both yield for real: a trap that leaves the processor to any runnable thread.
TEXT runtime·osyield(SB),NOSPLIT,$4
	MOVL	$0, 0(SP)
	CALL	runtime·swtch_pri(SB)
	RET

TEXT runtime·swtch_pri(SB),NOSPLIT,$0-4
	TRAP(-59)
	RET

TEXT runtime·thread_switch(SB),NOSPLIT,$0-16
	TRAP(-61)
	MOVL	AX, ret+12(FP)
	RET

TEXT runtime·syscall_vm_map(SB),NOSPLIT,$0-48
	TRAP(-64)
	MOVL	AX, ret+44(FP)
	RET

TEXT runtime·syscall_vm_allocate(SB),NOSPLIT,$0-20
	TRAP(-65)
	MOVL	AX, ret+16(FP)
	RET

TEXT runtime·syscall_vm_deallocate(SB),NOSPLIT,$0-16
	TRAP(-66)
	MOVL	AX, ret+12(FP)
	RET

TEXT runtime·syscall_mach_port_allocate(SB),NOSPLIT,$0-16
	TRAP(-72)
	MOVL	AX, ret+12(FP)
	RET

TEXT runtime·syscall_mach_port_deallocate(SB),NOSPLIT,$0-12
	TRAP(-73)
	MOVL	AX, ret+8(FP)
	RET

// func setldt(slot, base, size uintptr)
// Called before there is a g; g lives at -4(GS), as on the other ELF systems.
TEXT runtime·setldt(SB),NOSPLIT,$8-12
	MOVL	base+4(FP), AX
	ADDL	$4, AX
	MOVL	AX, 0(SP)
	CALL	runtime·tlsinit(SB)
	MOVL	4(SP), AX
	MOVW	AX, GS
	RET

// First instructions of a thread made by newosproc: GS and g are set already.
TEXT runtime·threadstart(SB),NOSPLIT|TOPFRAME,$0
	CLD
	CALL	runtime·mstart(SB)
	INT	$3	// not reached: mexit does not return
	RET

// Where the exception server sends a thread that is to crash: on the signal
// stack, with g set to that.
TEXT runtime·excCrashEntry(SB),NOSPLIT|TOPFRAME,$0
	CLD
	CALL	runtime·excCrash(SB)
	INT	$3	// not reached
	RET

// func hasHardwareRandom() bool
TEXT runtime·hasHardwareRandom(SB),NOSPLIT,$0-1
	MOVL	$1, AX
	MOVL	$0, CX
	CPUID
	SHRL	$30, CX
	ANDL	$1, CX
	MOVB	CX, ret+0(FP)
	RET

// func hardwareRandom() (v uint32, ok bool)
TEXT runtime·hardwareRandom(SB),NOSPLIT,$0-5
	BYTE $0x0F; BYTE $0xC7; BYTE $0xF0 // RDRAND AX
	SETCS	ok+4(FP)
	MOVL	AX, v+0(FP)
	RET
